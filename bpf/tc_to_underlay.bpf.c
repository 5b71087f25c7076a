// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Egress of the underlay device: what leaves the node.
 *
 *   the fast path's              passed on; only its mark is taken off
 *   the node's own               passed on, untouched; everything that is encapsulated among it
 *   a pod's, out of the stack
 *     to a direct peer           passed on; a flow that leaves as it came is learned to be ours
 *     to any other node          sent into the overlay: it travels encapsulated
 *     to the outside             passed on; a flow that the stack translated is learned to be the
 *                                stack's
 */
#include "bpf/lib/flow.h"
#include "bpf/lib/rewrite.h"
#include "bpf/lib/route.h"

/* By far the most of what passes here. */
static __always_inline bool is_from_this_node(struct __sk_buff *skb)
{
	const struct iphdr *ip = packet_bytes(skb, ETH_HLEN, sizeof(*ip));

	return ip && ip->saddr == config.node_address;
}

/*
 * The stack knows another node's address on the underlay and sends there what it forwards for a
 * pod: fragments, the rest of a flow, what kube-proxy translated to a pod in the host's network.
 */
static __always_inline int send_by_overlay(struct __sk_buff *skb)
{
	count_path(skb, PATH_STACK_TO_OVERLAY);
	return bpf_redirect(config.overlay_ifindex, 0);
}

/* What the stack forwards to a node or its pods goes the way that our own packets to it go. */
static __always_inline int send_to_node(struct __sk_buff *skb, const struct packet *packet,
					const struct node_route *node)
{
	struct flow_key sender = flow_key_from_pod(packet);

	if (node->path == NODE_PATH_UNREACHABLE)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_PEER_UNREACHABLE);
	if (node->path != NODE_PATH_DIRECT)
		return send_by_overlay(skb);
	count_path(skb, PATH_STACK_TO_DIRECT);
	learn_from_stack(packet, &sender, FLOW_PENDING_FROM_POD);
	return VERDICT_PASS;
}

/*
 * The tuple that the pod sent is on record as undecided, and stays so: what leaves for the outside
 * goes through the stack. Any other tuple is one that the stack made.
 */
static __always_inline void learn_translated(const struct packet *packet)
{
	struct flow_key sender = flow_key_from_pod(packet);

	if (packet->has_flow && packet->kind != PACKET_ICMP_ERROR &&
	    !bpf_map_lookup_elem(&flow_owners, &sender))
		set_owner(&sender, FLOW_OWNER_STACK);
}

SEC("tc/egress")
int to_underlay(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct destination destination;

	if (skb->mark == MARK_FAST_PATH) {
		skb->mark = 0;
		return VERDICT_PASS;
	}
	if (skb->protocol != bpf_htons(ETH_P_IP) || is_from_this_node(skb))
		return VERDICT_PASS;
	if (!pull_ipv4(skb, ETH_HLEN))
		return VERDICT_PASS;
	if (parse_ipv4(skb, ETH_HLEN, skb->len, &packet) != DROP_NONE ||
	    !bpf_map_lookup_elem(&pods_by_ipv4, &packet.source))
		return VERDICT_PASS;

	destination = find_destination(packet.destination);
	if (destination.kind == DESTINATION_NODE && destination.node)
		return send_to_node(skb, &packet, destination.node);
	learn_translated(&packet);
	return VERDICT_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
