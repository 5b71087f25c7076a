/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_ACQUIRE_H
#define PODLANE_BPF_NAT_ACQUIRE_H

#include "bpf/lib/nat_claim.h"

/* Getting a tuple for a flow, and keeping it. */

/*
 * The request that this CPU works on. Functions that are verified by themselves (the global ones:
 * a loop around them would be too long otherwise) can be given no pointer before Linux 5.12. Hooks
 * do not interrupt each other, since softirqs are off where they run. They can interrupt what
 * BPF_PROG_TEST_RUN runs: nat_sweep has no request.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct nat_request);
	__uint(max_entries, 1);
} nat_scratch SEC(".maps");

static __always_inline struct nat_request *nat_current(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&nat_scratch, &zero);
}

/* Whether the request may have the tuple of that flow. */
static __always_inline bool nat_may_take(const struct nat_request *request,
					 const struct flow_key *holder,
					 const struct nat_entry *entry)
{
	return nat_is_expired(holder, entry, request->now) ||
	       (request->in_need && nat_is_dispensable(holder, entry, request->now));
}

/* nat_sweep is about to remove the claim, and nobody else touches it. */
static __always_inline bool nat_is_given_up(const struct flow_key *holder)
{
	return !holder->pod_address;
}

/* Takes the tuple over when the flow that has it is over, or when it was left behind. */
static __noinline enum nat_try nat_take_over(struct nat_request *request)
{
	struct nat_claim *claim = bpf_map_lookup_elem(&nat_by_reply, &request->reply);
	struct nat_entry *entry;
	struct flow_key holder;
	__u64 since;
	bool won = false;

	if (!claim)
		return NAT_TRY_BUSY;
	holder = claim->flow;
	since = claim->since;
	if (nat_is_given_up(&holder))
		return NAT_TRY_BUSY;
	if (same_flow(&holder, &request->flow)) {
		request->adopted = 1;
		return NAT_TRY_WON;
	}
	entry = bpf_map_lookup_elem(&nat_by_flow, &holder);
	if (entry && nat_leads_to(entry, &request->reply)) {
		if (!nat_may_take(request, &holder, entry))
			return NAT_TRY_BUSY;
	} else {
		if (nat_age(since, request->now) < NAT_CLAIM_TIME)
			return NAT_TRY_BUSY;
		entry = NULL;
	}
	bpf_spin_lock(&claim->lock);
	if (same_flow(&claim->flow, &holder) && claim->since == since &&
	    (!entry || nat_may_take(request, &holder, entry))) {
		claim->flow = request->flow;
		claim->since = request->now;
		won = true;
	}
	bpf_spin_unlock(&claim->lock);
	if (won && entry)
		nat_remove_flow(&holder);
	return won ? NAT_TRY_WON : NAT_TRY_BUSY;
}

static __always_inline void nat_mark_given(const struct nat_reply_key *reply)
{
	__u32 page = bpf_ntohs(reply->nat_port) / NAT_PORT_PAGE;
	struct nat_port_page *ports = bpf_map_lookup_elem(&nat_given_ports, &page);

	/* Not written without need: the other CPUs read it. */
	if (ports && reply->protocol != IPPROTO_SCTP && !nat_is_given(reply->nat_port))
		ports->given[bpf_ntohs(reply->nat_port) % NAT_PORT_PAGE] = 1;
}

/* Claims the tuple with this port (host byte order) for the current request; enum nat_try. */
__noinline int nat_try_port(__u32 port)
{
	struct nat_request *request = nat_current();
	struct nat_claim claim = {};
	int error; /* before Linux 6.4 the upper half of what the map's operation returns is zero */

	if (!request)
		return NAT_TRY_FULL;
	claim.flow = request->flow;
	claim.since = request->now;
	request->reply.nat_port = bpf_htons(port);
	error = bpf_map_update_elem(&nat_by_reply, &request->reply, &claim, BPF_NOEXIST);
	if (error == -EEXIST)
		return nat_take_over(request);
	if (error)
		return NAT_TRY_FULL;
	nat_mark_given(&request->reply);
	nat_count_port(&request->reply, 1);
	return NAT_TRY_WON;
}

static __always_inline void nat_give_back(const struct nat_request *request)
{
	if (request->adopted)
		return;
	bpf_map_delete_elem(&nat_by_reply, &request->reply);
	nat_count_port(&request->reply, -1);
}

/*
 * Puts the flow into the table with the tuple that was claimed. When another CPU did so first, with
 * another tuple, that one stands.
 */
static __always_inline enum drop_reason nat_insert_flow(struct nat_request *request)
{
	struct nat_entry entry = {
	    .last_seen = request->now,
	    .nat_address = request->reply.nat_address,
	    .nat_port = request->reply.nat_port,
	    .flags = request->flags,
	};
	int error = bpf_map_update_elem(&nat_by_flow, &request->flow, &entry, BPF_NOEXIST);
	const struct nat_entry *winner;

	if (!error) {
		nat_count_flow(request->flow.pod_address, 1);
		return DROP_NONE;
	}
	winner = bpf_map_lookup_elem(&nat_by_flow, &request->flow);
	if (!winner || !nat_leads_to(winner, &request->reply))
		nat_give_back(request);
	return winner ? DROP_NONE : DROP_NAT_TABLE_FULL;
}

/*
 * Brings a flow's translation back that nobody has used for its timeout, and nobody else has taken.
 * False: somebody has, and is about to remove the flow's entry.
 */
static __noinline bool nat_bring_back(const struct flow_key *flow, struct nat_entry *entry,
				      __u64 now)
{
	struct nat_reply_key reply = nat_reply_of(flow);
	struct nat_claim *claim;
	bool ours = false;

	reply.nat_address = entry->nat_address;
	reply.nat_port = entry->nat_port;
	claim = bpf_map_lookup_elem(&nat_by_reply, &reply);
	if (!claim)
		return false;
	bpf_spin_lock(&claim->lock);
	if (same_flow(&claim->flow, flow)) {
		entry->last_seen = now;
		entry->pod_seen = entry->remote_seen = 0;
		ours = true;
	}
	bpf_spin_unlock(&claim->lock);
	return ours;
}

/* What of a packet without a translation may not begin one. A RST ends, and so opens nothing. */
static __always_inline enum drop_reason nat_check_opening(const struct packet *packet)
{
	switch (packet->flow.protocol) {
	case IPPROTO_TCP:
		if (packet->kind == PACKET_ICMP_ERROR || (packet->tcp_flags & TCP_RST) ||
		    (packet->kind != PACKET_OPENING && (packet->tcp_flags & TCP_SYN)))
			return DROP_NAT_NOT_OPENED;
		return DROP_NONE;
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return packet->kind == PACKET_ICMP_ERROR ? DROP_NAT_NOT_OPENED : DROP_NONE;
	case IPPROTO_ICMP:
		if (packet->kind == PACKET_DATAGRAM)
			return DROP_NAT_UNSUPPORTED_PROTOCOL;
		return packet->kind == PACKET_OPENING ? DROP_NONE : DROP_NAT_NOT_OPENED;
	default:
		return DROP_NAT_UNSUPPORTED_PROTOCOL;
	}
}

/*
 * An expired translation that nobody took is as good as new for what may begin one, and so is one
 * that a SYN opens again; on a closed connection nothing but a SYN brings it back. DROP_NONE:
 * `entry` may be used.
 */
static __always_inline enum drop_reason nat_revive(const struct flow_key *flow,
						   const struct packet *packet,
						   struct nat_entry *entry, __u64 now)
{
	bool is_opening = packet->kind == PACKET_OPENING;
	enum drop_reason drop;

	if (likely(nat_is_alive(flow, entry, now) && !(is_opening && nat_is_closed(flow, entry))))
		return DROP_NONE;
	drop = nat_check_opening(packet);
	if (drop == DROP_NONE && !is_opening && nat_is_closed(flow, entry))
		drop = DROP_NAT_NOT_OPENED;
	if (drop == DROP_NONE && !nat_bring_back(flow, entry, now))
		drop = DROP_NAT_CLAIM_LOST;
	return drop;
}

#endif
