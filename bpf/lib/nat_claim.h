/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_CLAIM_H
#define PODLANE_BPF_NAT_CLAIM_H

#include "bpf/lib/nat_entry.h"

/*
 * Claims on translated tuples: see bpf/DESIGN.md, "Translations". The entry of nat_by_reply is the
 * claim, and whoever inserts it, or changes its `flow` under its lock, has the tuple. Whoever takes
 * a tuple away from a flow removes that flow's entry of nat_by_flow; nobody else does.
 */
#define EEXIST 17

/* A claim is in the table before its flow is. One that has stood longer without a flow is left
 * over. */
#define NAT_CLAIM_TIME NAT_SECOND

/* A flow that is to be translated, and the tuple that is tried for it. */
struct nat_request {
	struct flow_key flow;
	struct nat_reply_key reply;
	__u64 now;
	__u8 flags;   /* enum nat_flag, bits */
	__u8 in_need; /* ports are short: take those of flows that are as good as over */
	__u8 adopted; /* the claim was the flow's before: not ours to give back */
};

enum nat_try {
	NAT_TRY_WON,
	NAT_TRY_BUSY, /* another flow has the tuple */
	NAT_TRY_FULL,
};

/* The tuple of a flow's translation but for its address and port. */
static __always_inline struct nat_reply_key nat_reply_of(const struct flow_key *flow)
{
	struct nat_reply_key reply = {
	    .remote_address = flow->remote_address,
	    .remote_port = flow->protocol == IPPROTO_ICMP ? 0 : flow->remote_port,
	    .protocol = flow->protocol,
	};

	return reply;
}

static __always_inline bool nat_leads_to(const struct nat_entry *entry,
					 const struct nat_reply_key *reply)
{
	return entry->nat_address == reply->nat_address && entry->nat_port == reply->nat_port;
}

static __always_inline void nat_count_flow(__be32 pod, __s64 change)
{
	struct nat_pod_flows *known = bpf_map_lookup_elem(&nat_flows_by_pod, &pod);
	struct nat_pod_flows none = {};

	if (!known) {
		bpf_map_update_elem(&nat_flows_by_pod, &pod, &none, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&nat_flows_by_pod, &pod);
	}
	if (known)
		__sync_fetch_and_add(&known->flows, change);
}

static __always_inline bool nat_share_is_used_up(__be32 pod)
{
	const struct nat_pod_flows *known = bpf_map_lookup_elem(&nat_flows_by_pod, &pod);

	return known && known->flows >= (__s64)config.nat.flows_per_pod;
}

static __always_inline __u32 nat_block_of(__be16 port)
{
	__u32 block = (__u32)(bpf_ntohs(port) - config.nat.port_low);

	return config.nat.block_size ? block / config.nat.block_size : 0;
}

/* Counts of the blocks of another configuration's range say nothing. */
static __always_inline bool nat_counts_our_range(const struct nat_ports *ports)
{
	return ports->port_low == config.nat.port_low && ports->port_count == config.nat.port_count;
}

static __always_inline struct nat_destination nat_destination_of(const struct nat_reply_key *reply)
{
	struct nat_destination destination = {
	    .nat_address = reply->nat_address,
	    .remote_address = reply->remote_address,
	    .remote_port = reply->remote_port,
	    .protocol = reply->protocol,
	};

	return destination;
}

static __always_inline void nat_count_port(const struct nat_reply_key *reply, __s32 change)
{
	struct nat_destination destination = nat_destination_of(reply);
	struct nat_ports *ports = bpf_map_lookup_elem(&nat_ports_by_destination, &destination);

	if (ports && nat_counts_our_range(ports) && nat_is_in_range(reply->nat_port))
		__sync_fetch_and_add(
		    &ports->used[nat_block_of(reply->nat_port) & (NAT_BLOCKS_MAX - 1)], change);
}

/* Takes a flow out of the table whose tuple is no longer its own. */
static __always_inline void nat_remove_flow(const struct flow_key *flow)
{
	if (!bpf_map_delete_elem(&nat_by_flow, flow))
		nat_count_flow(flow->pod_address, -1);
}

#endif
