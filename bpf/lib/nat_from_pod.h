/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_FROM_POD_H
#define PODLANE_BPF_NAT_FROM_POD_H

#include "bpf/lib/nat.h"
#include "bpf/lib/nat_ports.h"

/* At a pod's veth: a packet to the outside that need not see the stack. */

struct nat_way {
	/* Bytes to be held against the MTU. Not 0: the kernel takes the frame's own length then.
	 * When the way is found: how long a packet may be that takes it. */
	__u16 length;
	/* By a device at which no hook of ours stands, or in an envelope that none looks into:
	 * nothing may leave there. */
	bool is_unwatched;
	__u32 ifindex;
	__be32 next_hop;
};

/*
 * The way that the stack would take, or why the packet must go through it. The look-up names the
 * device where it finds one; before Linux 5.12 not without a neighbour, and never where the route
 * encapsulates (MPLS, SRv6).
 */
static __always_inline enum handover_reason
nat_find_way(struct __sk_buff *skb, const struct packet *packet, struct nat_way *way)
{
	struct bpf_fib_lookup fib = {
	    .family = 2 /* AF_INET */,
	    .l4_protocol = packet->protocol,
	    .sport = packet->flow.source_port,
	    .dport = packet->flow.destination_port,
	    .tot_len = way->length,
	    .ifindex = skb->ifindex,
	    .tos = packet->tos,
	    .ipv4_src = packet->source,
	    .ipv4_dst = packet->destination,
	};
	long found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	bool is_named = fib.ifindex != skb->ifindex;
	const struct nat_device *device = is_named ? nat_find_device(fib.ifindex) : NULL;

	way->is_unwatched = is_named ? !device : found == BPF_FIB_LKUP_RET_UNSUPP_LWT;
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return HANDOVER_TOO_BIG;
	if ((found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) || !device ||
	    fib.family != 2 || device->flags & (NAT_DEVICE_INNER | NAT_DEVICE_L3))
		return HANDOVER_OUTSIDE;
	/* Before Linux 5.12 the look-up knows no MTU of segments. */
	if (way->length > device->mtu)
		return HANDOVER_TOO_BIG;
	/* Since Linux 5.12 that is the route's MTU now, where the neighbour is known. */
	way->length = fib.tot_len < device->mtu ? fib.tot_len : device->mtu;
	way->ifindex = fib.ifindex;
	way->next_hop = fib.ipv4_dst;
	return HANDOVER_NONE;
}

/* How long a way is taken again without another look at the routes: some 8 ms. */
#define NAT_WAY_TICKS 8

/* An ICMP error has a way of its own, and goes wherever its sender likes: it neither uses nor
 * writes that of the flow. */
static __always_inline bool nat_goes_the_flows_way(const struct packet *packet)
{
	return packet->kind != PACKET_ICMP_ERROR;
}

/* The way that was found for the flow a moment ago. */
static __always_inline bool nat_recall_way(const struct nat_entry *entry,
					   const struct packet *packet, __u64 now,
					   struct nat_way *way)
{
	__u64 known = entry->way;

	if (!known || !nat_goes_the_flows_way(packet) ||
	    (__s32)((__u32)(now >> NAT_WAY_TICK) - entry->way_seen) >= NAT_WAY_TICKS ||
	    packet->segment_length > entry->way_length || packet->tos != entry->way_tos)
		return false;
	way->ifindex = known >> 32;
	way->next_hop = (__u32)known;
	return true;
}

static __always_inline void nat_remember_way(struct nat_entry *entry, const struct packet *packet,
					     __u64 now, const struct nat_way *way)
{
	entry->way = (__u64)way->ifindex << 32 | way->next_hop;
	entry->way_length = way->length;
	entry->way_tos = packet->tos;
	entry->way_seen = now >> NAT_WAY_TICK;
}

/* nat_find_way, for a flow that has a translation. */
static __always_inline enum handover_reason nat_find_way_of(struct __sk_buff *skb,
							    const struct packet *packet,
							    struct nat_entry *entry, __u64 now,
							    struct nat_way *way)
{
	enum handover_reason handover = nat_find_way(skb, packet, way);

	if (handover == HANDOVER_NONE && nat_goes_the_flows_way(packet))
		nat_remember_way(entry, packet, now, way);
	return handover;
}

/*
 * Whether the stack would send the packet, as it is, out of a device that no hook of ours watches:
 * one that has just come, or through which nothing should be routed (a bridge's port). What the
 * stack translates may still take another way.
 */
static __noinline bool nat_leaves_unwatched(struct __sk_buff *skb, const struct packet *packet)
{
	struct nat_way way = {.length = IPV4_HEADER_LENGTH}; /* fits any MTU */

	nat_find_way(skb, packet, &way);
	return way.is_unwatched;
}

/* What a translation cannot be looked up for, or what the stack has to answer. */
static __always_inline bool nat_is_plain(const struct packet *packet)
{
	return packet->has_flow && !packet->is_fragment && packet->ttl > 1;
}

/*
 * A new flow to an address that the stack is known not to translate, from its first packet on. What
 * may be the answer to what came in through the stack goes back there.
 */
static __always_inline bool nat_may_open(const struct packet *packet, const struct flow_key *flow)
{
	const struct flow_entry *known;

	if (!config.nat.at_once || nat_check_opening(packet) != DROP_NONE)
		return false;
	if (packet->kind == PACKET_OPENING)
		return true;
	known = bpf_map_lookup_elem(&flow_owners, flow);
	return packet->kind == PACKET_DATAGRAM && !(known && known->owner == FLOW_OWNER_STACK);
}

/* Point of no return. */
static __always_inline int nat_send(struct __sk_buff *skb, const struct packet *packet,
				    const struct flow_key *flow, const struct nat_entry *entry,
				    const struct nat_way *way)
{
	struct bpf_redir_neigh next_hop = {.nh_family = 2 /* AF_INET */, .ipv4_nh = way->next_hop};

	count_path(skb, PATH_POD_TO_OUTSIDE);
	if (!nat_rewrite_out(skb, packet, flow, entry) || !route_ipv4(skb, ETH_HLEN, packet->tos))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_NAT_REWRITE_FAILED);
	skb->mark = MARK_FAST_PATH;
	return bpf_redirect_neigh(way->ifindex, &next_hop, sizeof(next_hop), 0);
}

/* Translates and sends the packet that opens a flow, which `request`, this CPU's, is for. */
static __always_inline int nat_send_new(struct __sk_buff *skb, const struct packet *packet,
					const struct nat_request *request,
					const struct nat_way *way)
{
	enum drop_reason drop = nat_claim_tuple();
	struct nat_entry *entry = bpf_map_lookup_elem(&nat_by_flow, &request->flow);

	if (drop == DROP_NONE && !entry)
		drop = DROP_NAT_CLAIM_LOST;
	if (drop != DROP_NONE || !entry)
		return drop_packet(skb, DIRECTION_FROM_POD, drop);
	nat_track_from_pod(&request->flow, entry, packet, request->now);
	if (nat_goes_the_flows_way(packet))
		nat_remember_way(entry, packet, request->now, way);
	return nat_send(skb, packet, &request->flow, entry, way);
}

#endif
