/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_IN_H
#define PODLANE_BPF_NAT_IN_H

#include "bpf/lib/deliver.h"
#include "bpf/lib/nat.h"

/* At the ingress of the underlay and the other uplinks: replies from the outside. What belongs to
 * no translation is the host's, and is passed to it untouched. */

/* Whether a frame may be a reply: a look at two fields, and at most at one byte of a table. */
static __always_inline bool nat_may_be_reply(struct __sk_buff *skb)
{
	const struct iphdr *ip =
	    packet_bytes(skb, link_header_length, sizeof(*ip) + 2 * sizeof(__be16));
	const __be16 *ports;

	if (!ip || ip->ihl != IPV4_HEADER_LENGTH / 4)
		return false;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return true;
	ports = (const __be16 *)(ip + 1);
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP)
		return nat_may_have(ports[1]);
	return ip->protocol == IPPROTO_ICMP || ip->protocol == IPPROTO_SCTP;
}

/* A packet without a MAC header cannot be redirected to a pod: the stack forwards it. */
static __always_inline enum forward_path nat_path_of(__u8 flags)
{
	if (flags & NAT_FLAG_HOST)
		return PATH_OUTSIDE_TO_HOST;
	if (flags & NAT_FLAG_STACK || !link_header_length)
		return PATH_OUTSIDE_TO_STACK;
	return PATH_OUTSIDE_TO_POD;
}

/*
 * Before Linux 5.12 bpf_redirect_peer drops what is longer than the pod's MTU, without a word; the
 * stack puts it into fragments, or answers. Of a datagram in fragments all take the same way. What
 * cannot write outer headers itself is such a kernel, or one of the next release.
 */
static __always_inline bool nat_fits_into_pod(const struct __sk_buff *skb,
					      const struct packet *packet,
					      const struct pod_endpoint *pod)
{
	if (config.encapsulation == ENCAPSULATION_OWN_HEADERS)
		return true;
	return !packet->is_fragment && (skb->gso_size || packet->segment_length <= pod->mtu);
}

/* Of what was translated back. */
static __always_inline int nat_deliver(struct __sk_buff *skb, const struct packet *packet,
				       enum forward_path path, const struct pod_endpoint *pod)
{
	if (path != PATH_OUTSIDE_TO_POD || !pod)
		return VERDICT_PASS;
	return deliver_to_pod(skb, DIRECTION_FROM_UNDERLAY, pod, packet->tos);
}

static __always_inline int nat_receive_fragment(struct __sk_buff *skb, const struct packet *packet)
{
	const struct nat_fragment *first = nat_find_fragment(packet);
	const struct pod_endpoint *pod;
	enum forward_path path;
	__be32 address;

	if (!first)
		return VERDICT_PASS;
	address = first->address;
	pod = bpf_map_lookup_elem(&pods_by_ipv4, &address);
	path = nat_path_of(first->flags);
	if (path == PATH_OUTSIDE_TO_POD && packet->ttl <= 1)
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, DROP_NAT_TTL_EXPIRED);
	if (path == PATH_OUTSIDE_TO_POD && !pod)
		return hand_over(skb, DIRECTION_FROM_UNDERLAY, HANDOVER_NO_POD);
	if (path == PATH_OUTSIDE_TO_POD && pod && !nat_fits_into_pod(skb, packet, pod))
		path = PATH_OUTSIDE_TO_STACK;
	count_path(skb, path);
	if (!nat_rewrite_fragment(skb, NAT_END_DESTINATION, address))
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return nat_deliver(skb, packet, path, pod);
}

/* The flow that the packet answers, if its translation holds. An expired one is left to whoever
 * takes it. */
static __always_inline struct nat_entry *nat_find_answered(const struct packet *packet, __u64 now,
							   struct flow_key *flow)
{
	struct flow_key seen = flow_key_to_pod(packet);
	struct nat_reply_key reply = nat_reply_of(&seen);
	const struct nat_claim *claim;
	struct nat_entry *entry;

	reply.nat_address = seen.pod_address;
	reply.nat_port = seen.pod_port;
	claim = bpf_map_lookup_elem(&nat_by_reply, &reply);
	if (!claim || packet->destination != reply.nat_address)
		return NULL;
	*flow = claim->flow;
	entry = bpf_map_lookup_elem(&nat_by_flow, flow);
	return entry && nat_leads_to(entry, &reply) && nat_is_alive(flow, entry, now) ? entry
										      : NULL;
}

static __always_inline int nat_receive_flow(struct __sk_buff *skb, const struct packet *packet)
{
	struct flow_key flow = {};
	__u64 now = bpf_ktime_get_ns();
	struct nat_entry *entry = nat_find_answered(packet, now, &flow);
	const struct pod_endpoint *pod;
	enum forward_path path;

	if (!entry)
		return VERDICT_PASS;
	path = nat_path_of(entry->flags);
	if (path == PATH_OUTSIDE_TO_POD && packet->ttl <= 1)
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, DROP_NAT_TTL_EXPIRED);
	pod = bpf_map_lookup_elem(&pods_by_ipv4, &flow.pod_address);
	if (path == PATH_OUTSIDE_TO_POD && !pod)
		return hand_over(skb, DIRECTION_FROM_UNDERLAY, HANDOVER_NO_POD);
	nat_track_to_pod(&flow, entry, packet, now);
	nat_record_fragment(packet, flow.pod_address, entry->flags, now);
	if (path == PATH_OUTSIDE_TO_HOST && entry->nat_port == flow.pod_port)
		return VERDICT_PASS;
	if (path == PATH_OUTSIDE_TO_POD && pod && !nat_fits_into_pod(skb, packet, pod))
		path = PATH_OUTSIDE_TO_STACK;
	count_path(skb, path);
	if (!nat_rewrite_in(skb, packet, &flow, entry))
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return nat_deliver(skb, packet, path, pod);
}

static __always_inline int nat_receive(struct __sk_buff *skb)
{
	struct packet packet = {};

	if (!nat_is_used() || !nat_may_be_reply(skb))
		return VERDICT_PASS;
	if (!pull_ipv4(skb, link_header_length) ||
	    parse_ipv4(skb, link_header_length, skb->len, &packet) != DROP_NONE)
		return VERDICT_PASS;
	return packet.has_flow ? nat_receive_flow(skb, &packet)
			       : nat_receive_fragment(skb, &packet);
}

#endif
