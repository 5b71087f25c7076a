// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Egress of the host side of a pod's veth pair: what reaches the pod from the host's stack (the
 * fast path redirects past this hook). Learns that such flows are the stack's; changes nothing.
 */
#include "bpf/lib/flow.h"
#include "bpf/lib/rewrite.h"

/*
 * A packet of a pod of this node that was handed up and comes down unchanged: both pods' flows
 * become ours, or stay it where the packet went up only because it is a fragment.
 */
static __always_inline bool came_unchanged_from_local_pod(const struct packet *packet)
{
	struct flow_key sender = flow_key_from_pod(packet);
	const struct flow_entry *entry = bpf_map_lookup_elem(&flow_owners, &sender);

	if (!entry || packet->kind == PACKET_ICMP_ERROR)
		return false;
	if (entry->owner == FLOW_OWNER_FAST)
		return packet->is_fragment;
	if (entry->owner != FLOW_OWNER_UNDECIDED || !(entry->pending & FLOW_PENDING_FROM_POD))
		return false;
	set_owner(&sender, FLOW_OWNER_FAST);
	return true;
}

/*
 * A datagram of a flow that came in through the stack and has a translation as well: one the pod
 * opened with the same ports, or one that its answer got when the owner's entry was evicted. The
 * answers must see the stack first, or they leave by the wrong port.
 */
static __always_inline void yield_translation(const struct packet *packet,
					      const struct flow_key *receiver)
{
	const struct flow_entry *known;
	struct nat_entry *translation;

	if (!config.nat.enabled || packet->kind != PACKET_DATAGRAM)
		return;
	translation = bpf_map_lookup_elem(&nat_by_flow, receiver);
	if (!translation || translation->flags & NAT_FLAG_STACK)
		return;
	known = bpf_map_lookup_elem(&flow_owners, receiver);
	if (known && known->owner == FLOW_OWNER_STACK)
		translation->flags |= NAT_FLAG_STACK;
}

SEC("tc/egress")
int to_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow_key receiver;

	if (skb->protocol != bpf_htons(ETH_P_IP) || !pull_ipv4(skb, ETH_HLEN))
		return VERDICT_PASS;
	if (parse_ipv4(skb, ETH_HLEN, skb->len, &packet) != DROP_NONE || !packet.has_flow)
		return VERDICT_PASS;

	receiver = flow_key_to_pod(&packet);
	if (came_unchanged_from_local_pod(&packet)) {
		set_owner(&receiver, FLOW_OWNER_FAST);
		return VERDICT_PASS;
	}
	learn_from_stack(&packet, &receiver, FLOW_PENDING_TO_POD);
	yield_translation(&packet, &receiver);
	return VERDICT_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
