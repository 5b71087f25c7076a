/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_COUNT_H
#define PODLANE_BPF_COUNT_H

#include "bpf/lib/ctx.h"
#include "bpf/lib/maps.h"

static __always_inline void add_packet(struct packet_counter *counter, context *ctx)
{
	counter->packets += 1;
	counter->bytes += frame_length(ctx);
}

static __noinline void count_reason(void *map, context *ctx, __u16 reason, enum direction direction)
{
	struct reason_key key = {.reason = reason, .direction = direction};
	struct packet_counter *counter = bpf_map_lookup_elem(map, &key);

	if (!counter) {
		struct packet_counter zero = {};

		bpf_map_update_elem(map, &key, &zero, BPF_NOEXIST);
		counter = bpf_map_lookup_elem(map, &key);
	}
	if (counter)
		add_packet(counter, ctx);
}

/* Drops the packet: the hook returns what this returns. */
static __always_inline int drop_packet(context *ctx, enum direction direction,
				       enum drop_reason reason)
{
	count_reason(&drop_counters, ctx, reason, direction);
	return VERDICT_DROP;
}

/* Drops the packet by leaving it to a route of the stack's that answers with an ICMP error. */
static __always_inline int refuse_packet(context *ctx, enum direction direction,
					 enum drop_reason reason)
{
	count_reason(&drop_counters, ctx, reason, direction);
	return VERDICT_PASS;
}

/* Leaves the packet, unchanged, to the host's stack. */
static __always_inline int hand_over(context *ctx, enum direction direction,
				     enum handover_reason reason)
{
	count_reason(&handover_counters, ctx, reason, direction);
	return VERDICT_PASS;
}

/* Counts a packet that the programs forward, before they change its length. */
static __always_inline void count_path(context *ctx, enum forward_path path)
{
	__u32 key = path;
	struct packet_counter *counter = bpf_map_lookup_elem(&path_counters, &key);

	if (counter)
		add_packet(counter, ctx);
}

#endif
