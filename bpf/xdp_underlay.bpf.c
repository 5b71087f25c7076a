// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The guard in front of the overlay, in the underlay device's driver: what from_underlay would drop
 * is dropped before it costs an skb.
 *
 *   VXLAN on our port, not what a node may send   dropped
 *   anything else                                 passed on, untouched
 *
 * It refuses only what it can see to be wrong: outer fragments, and headers that are not in the
 * first buffer, are left to the same checks at tc.
 */
#define PODLANE_XDP

#include "bpf/lib/count.h"
#include "bpf/lib/tunnel.h"

/* What from_underlay looks at: IPv4 without a VLAN tag, to one station. That it is this one the
 * driver cannot tell; it carries this node's address. */
static __always_inline bool is_unicast_ipv4(context *ctx)
{
	const struct ethhdr *ethernet = packet_bytes(ctx, 0, sizeof(*ethernet));

	return ethernet && ethernet->h_proto == bpf_htons(ETH_P_IP) && !(ethernet->h_dest[0] & 1);
}

SEC("xdp")
int underlay_guard(context *ctx)
{
	struct tunnel tunnel = {};
	struct packet inner = {};
	enum drop_reason drop;

	if (!is_unicast_ipv4(ctx) || !make_linear(ctx, OUTER_PORTS_LENGTH) ||
	    classify_outer(ctx) != OUTER_VXLAN || !pull_ipv4(ctx, VXLAN_INNER_IPV4))
		return VERDICT_PASS;
	drop = check_tunnelled(ctx, &tunnel, &inner);
	return drop == DROP_NONE ? VERDICT_PASS : drop_packet(ctx, DIRECTION_UNDERLAY_GUARD, drop);
}

char _license[] SEC("license") = "Dual BSD/GPL";
