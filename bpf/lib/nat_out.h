/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_OUT_H
#define PODLANE_BPF_NAT_OUT_H

#include "bpf/lib/nat.h"
#include "bpf/lib/nat_ports.h"

/* At the underlay's egress: what comes out of the stack for the outside. Nothing passes with a
 * pod's address. */

/*
 * Leaves with the tuple that the pod sent: the stack has nothing to do with the flow, and need not
 * see it any more. With any other: the stack translated it, and must see the replies.
 */
static __always_inline __u8 nat_flags_by_owner(const struct flow_key *flow)
{
	const struct flow_entry *known = bpf_map_lookup_elem(&flow_owners, flow);

	if (known && known->owner == FLOW_OWNER_UNDECIDED &&
	    (known->pending & FLOW_PENDING_FROM_POD))
		return 0;
	if (!known)
		set_owner(flow, FLOW_OWNER_STACK);
	return NAT_FLAG_STACK;
}

static __always_inline enum drop_reason nat_open_leaving(struct __sk_buff *skb,
							 const struct packet *packet,
							 const struct pod_endpoint *pod,
							 struct nat_request *request)
{
	enum drop_reason drop = nat_check_opening(packet);

	if (drop != DROP_NONE)
		return drop;
	request->reply.nat_address = nat_address_for(pod->egress_address, skb->ifindex);
	if (!request->reply.nat_address)
		return DROP_NAT_NO_ADDRESS;
	request->flags = nat_flags_by_owner(&request->flow);
	return nat_claim_tuple(request);
}

static __always_inline int nat_leave_fragment(struct __sk_buff *skb, const struct packet *packet)
{
	const struct nat_fragment *first = nat_find_fragment(packet);

	if (!first)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_FRAGMENT);
	count_path(skb, PATH_STACK_TO_OUTSIDE);
	if (!nat_rewrite_fragment(skb, NAT_END_SOURCE, first->address))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return VERDICT_PASS;
}

static __always_inline int nat_leave_flow(struct __sk_buff *skb, const struct packet *packet,
					  const struct pod_endpoint *pod)
{
	struct flow_key flow = flow_key_from_pod(packet);
	struct nat_request request = nat_request_for(&flow);
	struct nat_entry *entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	enum drop_reason drop;

	if (entry) {
		drop = nat_revive(&request, entry);
	} else {
		drop = nat_open_leaving(skb, packet, pod, &request);
		entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	}
	if (drop == DROP_NONE && !entry)
		drop = DROP_NAT_CLAIM_LOST;
	if (drop != DROP_NONE || !entry)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, drop);
	nat_track_from_pod(&flow, entry, packet, request.now);
	nat_record_fragment(packet, entry->nat_address, entry->flags, request.now);
	count_path(skb, PATH_STACK_TO_OUTSIDE);
	if (!nat_rewrite_out(skb, packet, &flow, entry))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return VERDICT_PASS;
}

/* A pod's packet to the outside. */
static __always_inline int nat_leave(struct __sk_buff *skb, const struct packet *packet,
				     const struct pod_endpoint *pod)
{
	if (is_local_scope(packet->destination))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_LOCAL_SCOPE);
	if (packet->has_options)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_IP_OPTIONS);
	if (!packet->has_flow)
		return nat_leave_fragment(skb, packet);
	return nat_leave_flow(skb, packet, pod);
}

/* Whether a frame of the host's own may carry a port of the range: a look at two fields. */
static __always_inline bool nat_may_collide(struct __sk_buff *skb)
{
	const struct iphdr *ip;
	const __be16 *ports;

	if (!make_linear(skb, NAT_TRANSPORT + 3 * sizeof(__be16)))
		return false;
	ip = packet_bytes(skb, ETH_HLEN, sizeof(*ip) + 3 * sizeof(__be16));
	if (!ip || ip->ihl != IPV4_HEADER_LENGTH / 4)
		return false;
	ports = (const __be16 *)(ip + 1);
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP)
		return nat_is_in_range(ports[0]);
	return ip->protocol == IPPROTO_ICMP && nat_is_in_range(ports[2]);
}

/* The host goes on when the table has no room for it, unless a pod has the very tuple. */
static __always_inline int nat_refuse_host(struct __sk_buff *skb, struct nat_request *request,
					   enum drop_reason drop)
{
	request->reply.nat_address = request->flow.pod_address;
	request->reply.nat_port = request->flow.pod_port;
	if (!bpf_map_lookup_elem(&nat_by_reply, &request->reply))
		return VERDICT_PASS;
	return drop_packet(skb, DIRECTION_TO_UNDERLAY, drop);
}

/*
 * A packet of the host's own with a source port of the range. It claims its tuple like a pod does,
 * so that no pod gets it, and takes another port where a pod has it already.
 */
static __always_inline int nat_leave_host(struct __sk_buff *skb, const struct packet *packet)
{
	struct flow_key flow = flow_key_from_pod(packet);
	struct nat_request request = nat_request_for(&flow);
	struct nat_entry *entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	enum drop_reason drop = DROP_NONE;

	if (entry) {
		drop = nat_revive(&request, entry);
	} else if (nat_check_opening(packet) == DROP_NAT_UNSUPPORTED_PROTOCOL ||
		   packet->kind == PACKET_ICMP_ERROR) {
		return VERDICT_PASS;
	} else {
		request.flags = NAT_FLAG_HOST;
		request.reply.nat_address = packet->source;
		drop = nat_claim_tuple(&request);
		entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	}
	if (drop != DROP_NONE || !entry)
		return nat_refuse_host(skb, &request,
				       drop != DROP_NONE ? drop : DROP_NAT_CLAIM_LOST);
	nat_track_from_pod(&flow, entry, packet, request.now);
	if (entry->nat_port == flow.pod_port)
		return VERDICT_PASS;
	count_path(skb, PATH_HOST_TO_OUTSIDE);
	if (!nat_rewrite_out(skb, packet, &flow, entry))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return VERDICT_PASS;
}

/* A packet that no pod sent. */
static __always_inline int nat_check_host(struct __sk_buff *skb)
{
	struct packet packet = {};

	if (!nat_is_used() || !nat_may_collide(skb))
		return VERDICT_PASS;
	if (!pull_ipv4(skb, ETH_HLEN) ||
	    parse_ipv4(skb, ETH_HLEN, skb->len, &packet) != DROP_NONE || !packet.has_flow ||
	    packet.is_fragment)
		return VERDICT_PASS;
	return nat_leave_host(skb, &packet);
}

#endif
