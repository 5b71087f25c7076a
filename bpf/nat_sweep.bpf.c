// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Removes translations that are over, or whose address is not the right one any more. On no hook:
 * the agent runs it by BPF_PROG_TEST_RUN with the keys of entries that look so, and it looks again
 * and removes them the way that the hooks take tuples over. The agent itself could only remove what
 * it saw a moment ago, and would break a flow that has begun anew since.
 *
 * The "packet": struct nat_sweep_order, zeroes up to ETH_HLEN, then at most NAT_SWEEP_MAX keys of
 * nat_by_flow. Returns how many were removed.
 */
#include "bpf/lib/ctx.h"
#include "bpf/lib/nat_claim.h"
#include "maps/schema/nat_sweep.h"

#define ENOENT 2

static __always_inline bool is_named(const struct nat_entry *entry,
				     const struct nat_sweep_order *order)
{
	return order->address && entry->nat_address == order->address &&
	       !(order->unanswered && entry->remote_seen);
}

static __always_inline bool is_over(const struct flow_key *flow, const struct nat_entry *entry,
				    const struct nat_sweep_order *order, __u64 now)
{
	return is_named(entry, order) || nat_is_expired(flow, entry, now);
}

/* Takes the tuple away from the flow, so that nobody brings the flow back or takes it over, and
 * nobody the claim before we remove it, however long that takes. The claim of a flow whose tuple is
 * another's by now is not touched. */
static __always_inline bool give_up_claim(struct nat_claim *claim, const struct flow_key *flow,
					  const struct nat_entry *entry,
					  const struct nat_sweep_order *order)
{
	__u64 now = bpf_ktime_get_ns();
	bool ours = false;

	bpf_spin_lock(&claim->lock);
	if (same_flow(&claim->flow, flow) && is_over(flow, entry, order, now)) {
		claim->flow = (struct flow_key){};
		ours = true;
	}
	bpf_spin_unlock(&claim->lock);
	return ours;
}

/* Removes a claim that was given up. Should that fail, it gets its flow back, which has no entry by
 * now, and is taken over in time. */
static __always_inline void remove_claim(struct nat_claim *claim, const struct nat_reply_key *reply,
					 const struct flow_key *flow)
{
	__u64 now = bpf_ktime_get_ns();
	int error = bpf_map_delete_elem(&nat_by_reply, reply);

	if (!error)
		nat_count_port(reply, -1);
	if (!error || error == -ENOENT)
		return;
	bpf_spin_lock(&claim->lock);
	claim->flow = *flow;
	claim->since = now;
	bpf_spin_unlock(&claim->lock);
}

/* Without a range nothing is counted, so that what was is wrong as soon as it has one again. */
static __always_inline void forget_ports_towards(const struct nat_reply_key *reply)
{
	struct nat_destination destination = nat_destination_of(reply);

	bpf_map_delete_elem(&nat_ports_by_destination, &destination);
}

static __always_inline int sweep_flow(const struct flow_key *flow,
				      const struct nat_sweep_order *order)
{
	struct nat_reply_key reply = nat_reply_of(flow);
	const struct nat_entry *entry = bpf_map_lookup_elem(&nat_by_flow, flow);
	struct nat_claim *claim;

	if (!entry || !is_over(flow, entry, order, bpf_ktime_get_ns()))
		return 0;
	reply.nat_address = entry->nat_address;
	reply.nat_port = entry->nat_port;
	claim = bpf_map_lookup_elem(&nat_by_reply, &reply);
	if (claim && !give_up_claim(claim, flow, entry, order))
		return 0;
	nat_remove_flow(flow);
	if (claim)
		remove_claim(claim, &reply, flow);
	if (!nat_is_used())
		forget_ports_towards(&reply);
	return 1;
}

/* The flow whose key is at this place; below 0: there is none. Verified by itself, not once for
 * each place. */
__noinline int sweep_place(struct __sk_buff *skb, __u32 place)
{
	struct nat_sweep_order order;
	struct flow_key flow;

	if (bpf_skb_load_bytes(skb, 0, &order, sizeof(order)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + place * sizeof(flow), &flow, sizeof(flow)))
		return -1;
	return sweep_flow(&flow, &order);
}

SEC("tc")
int nat_sweep(struct __sk_buff *skb)
{
	int removed = 0;

	for (__u32 place = 0; place < NAT_SWEEP_MAX; place++) {
		int swept = sweep_place(skb, place);

		if (swept < 0)
			break;
		removed += swept;
	}
	return removed;
}

char _license[] SEC("license") = "Dual BSD/GPL";
