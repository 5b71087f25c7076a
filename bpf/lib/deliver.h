/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_DELIVER_H
#define PODLANE_BPF_DELIVER_H

#include "bpf/lib/flow.h"
#include "bpf/lib/rewrite.h"

/*
 * Why a packet from another node that is for a pod of this one takes the stack's way, or
 * HANDOVER_NONE: it may be delivered past the stack.
 */
static __always_inline enum handover_reason check_delivery(const struct packet *packet,
							   const struct pod_endpoint *pod)
{
	struct flow_key receiver = flow_key_to_pod(packet);
	enum handover_reason handover = check_forwardable(packet, pod->mtu);

	return handover != HANDOVER_NONE ? handover
					 : check_flow(packet, &receiver, FLOW_PENDING_TO_POD);
}

/*
 * Delivers the IPv4 packet behind the Ethernet header to a pod of this node, routed: TTL, TOS,
 * MACs. The point of no return lies before it.
 */
static __always_inline int deliver_to_pod(struct __sk_buff *skb, enum direction direction,
					  const struct pod_endpoint *pod, __u8 tos)
{
	if (!route_ipv4(skb, ETH_HLEN, tos) || !write_macs(skb, pod->mac, pod->host_mac))
		return drop_packet(skb, direction, DROP_PACKET_WRITE_FAILED);
	return bpf_redirect_peer(pod->ifindex, 0);
}

#endif
