/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_MACVLAN_H
#define PODLANE_BPF_NAT_MACVLAN_H

#include "bpf/lib/nat.h"
#include "bpf/lib/nat_ports.h"

/*
 * What a macvlan pod of this node sends to another node, or to a pod of it, comes out of the stack
 * with an address of the LAN, which the peer refuses as a forgery: it leaves with this node's. The
 * stack sees both directions, since it may translate the flow as well (kube-proxy), and forwards
 * the reply to the shim.
 */

static __always_inline const struct macvlan_pod *find_macvlan_pod(__be32 address)
{
	return config.nat.macvlan ? bpf_map_lookup_elem(&macvlan_pods_by_ipv4, &address) : NULL;
}

static __always_inline enum drop_reason
nat_open_macvlan(const struct packet *packet, struct nat_request *request, __be32 nat_address)
{
	enum drop_reason drop = nat_check_opening(packet);

	if (drop != DROP_NONE)
		return drop;
	request->flags = NAT_FLAG_STACK;
	request->reply.nat_address = nat_address;
	return nat_claim_tuple();
}

static __always_inline enum drop_reason
nat_translate_macvlan_flow(struct __sk_buff *skb, const struct packet *packet, __be32 nat_address)
{
	struct flow_key flow = flow_key_from_pod(packet);
	struct nat_request *request = nat_request_for(&flow);
	struct nat_entry *entry = nat_find_own(packet, &flow);
	enum drop_reason drop;

	if (!request)
		return DROP_NAT_TABLE_FULL;
	if (entry) {
		drop = nat_revive(&flow, packet, entry, request->now);
	} else {
		drop = nat_open_macvlan(packet, request, nat_address);
		entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	}
	if (drop != DROP_NONE)
		return drop;
	if (!entry)
		return DROP_NAT_CLAIM_LOST;
	nat_track_from_pod(&flow, entry, packet, request->now);
	nat_record_fragment(packet, entry->nat_address, entry->flags, request->now);
	return nat_rewrite_out(skb, packet, &flow, entry) ? DROP_NONE : DROP_NAT_REWRITE_FAILED;
}

/* DROP_NONE: the packet has `nat_address` for its source now. */
static __always_inline enum drop_reason
nat_translate_macvlan(struct __sk_buff *skb, const struct packet *packet, __be32 nat_address)
{
	const struct nat_fragment *first;

	if (packet->has_options)
		return DROP_NAT_IP_OPTIONS;
	if (packet->has_flow)
		return nat_translate_macvlan_flow(skb, packet, nat_address);
	first = nat_find_fragment(packet);
	if (!first)
		return DROP_NAT_FRAGMENT;
	return nat_rewrite_fragment(skb, NAT_END_SOURCE, first->address) ? DROP_NONE
									 : DROP_NAT_REWRITE_FAILED;
}

#endif
