// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Egress of the underlay device: what leaves the node. Learns which flows of this node's pods the stack translated
 * on their way out, so that their replies return through it; changes nothing.
 */
#include "bpf/lib/flow.h"
#include "bpf/lib/rewrite.h"

/* The node's own traffic, everything that is encapsulated among it: by far the most of what passes here. */
static __always_inline bool is_from_this_node(struct __sk_buff *skb)
{
	const struct iphdr *ip = packet_bytes(skb, ETH_HLEN, sizeof(*ip));

	return ip && ip->saddr == config.node_address;
}

SEC("tc/egress")
int to_underlay(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow_key sender;

	if (skb->protocol != bpf_htons(ETH_P_IP) || is_from_this_node(skb))
		return VERDICT_PASS;
	if (!make_linear(skb, ETH_HLEN + PARSED_LENGTH))
		return VERDICT_PASS;
	if (parse_ipv4(skb, ETH_HLEN, &packet) != DROP_NONE || !is_plain(&packet))
		return VERDICT_PASS;
	if (!bpf_map_lookup_elem(&pods_by_ipv4, &packet.source) || packet.kind == PACKET_ICMP_ERROR)
		return VERDICT_PASS;

	/*
	 * The tuple that the pod sent is on record as undecided, and stays so: what leaves for the outside goes through
	 * the stack. Any other tuple is one that the stack made.
	 */
	sender = flow_key_from_pod(&packet);
	if (!bpf_map_lookup_elem(&flow_owners, &sender))
		set_owner(&sender, FLOW_OWNER_STACK);
	return VERDICT_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
