/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_PORTS_H
#define PODLANE_BPF_NAT_PORTS_H

#include "bpf/lib/nat_acquire.h"

/*
 * Which port a new flow gets: its own when it may, one at random otherwise. In a range that is
 * nearly used up chance does not help: the range is cut into blocks of about the square root of its
 * size, each with a count of its ports in use, and the emptiest is searched from end to end. So a
 * free port is found in (blocks + ports of a block) steps.
 */
#define NAT_RANDOM_TRIES 4
/* Counts may be wrong by what other CPUs do: the emptiest block, and if it is full, the next. */
#define NAT_BLOCK_TRIES 2

/* Too large for the stack. */
static const struct nat_ports no_ports = {};

static __always_inline __u32 nat_ports_in_block(__u32 block)
{
	__u32 first = block * config.nat.block_size;
	__u32 rest = first < config.nat.port_count ? config.nat.port_count - first : 0;

	return rest < config.nat.block_size ? rest : config.nat.block_size;
}

static __always_inline __u32 nat_random_below(__u32 limit)
{
	return limit ? bpf_get_prandom_u32() % limit : 0;
}

static __always_inline struct nat_ports *nat_ports_towards(const struct nat_reply_key *reply)
{
	struct nat_destination destination = {
	    .nat_address = reply->nat_address,
	    .remote_address = reply->remote_address,
	    .remote_port = reply->remote_port,
	    .protocol = reply->protocol,
	};
	struct nat_ports *ports = bpf_map_lookup_elem(&nat_ports_by_destination, &destination);

	if (ports && nat_counts_our_range(ports))
		return ports;
	bpf_map_update_elem(&nat_ports_by_destination, &destination, &no_ports,
			    ports ? BPF_ANY : BPF_NOEXIST);
	ports = bpf_map_lookup_elem(&nat_ports_by_destination, &destination);
	if (ports) {
		ports->port_low = config.nat.port_low;
		ports->port_count = config.nat.port_count;
	}
	return ports;
}

/*
 * The block with the most free ports, from a random one on. What is compared carries its block
 * along, so that the verifier has one unknown number to follow and not a path for each block.
 */
__noinline int nat_emptiest_block(void)
{
	const struct nat_request *request = nat_current();
	const struct nat_ports *ports = request ? nat_ports_towards(&request->reply) : NULL;
	__u32 start = bpf_get_prandom_u32();
	__u64 best = 0;

	if (!ports)
		return nat_random_below(config.nat.block_count);
	for (__u32 i = 0; i < NAT_BLOCKS_MAX; i++) {
		__u32 block;
		__u64 found;

		if (i >= config.nat.block_count)
			break;
		block = (start + i) % config.nat.block_count & (NAT_BLOCKS_MAX - 1);
		found = nat_ports_in_block(block) + (1U << 20);
		found = (found - ports->used[block]) << 8 | block;
		if (found > best)
			best = found;
	}
	return best & (NAT_BLOCKS_MAX - 1);
}

/* enum nat_try */
__noinline int nat_try_block(__u32 block)
{
	__u32 first = config.nat.port_low + block * config.nat.block_size;
	__u32 count = nat_ports_in_block(block);
	__u32 start = nat_random_below(count);

	for (__u32 i = 0; i < NAT_BLOCK_SIZE_MAX; i++) {
		__u32 offset = start + i;
		int tried;

		if (i >= count)
			break;
		tried = nat_try_port(first + (offset < count ? offset : offset - count));
		if (tried != NAT_TRY_BUSY)
			return tried;
	}
	return NAT_TRY_BUSY;
}

static __always_inline void nat_count_block_full(const struct nat_reply_key *reply, __u32 block)
{
	struct nat_ports *ports = nat_ports_towards(reply);

	if (ports)
		ports->used[block & (NAT_BLOCKS_MAX - 1)] = nat_ports_in_block(block);
}

static __always_inline int nat_try_any_port(struct nat_request *request)
{
	int tried = NAT_TRY_BUSY;

	nat_ports_towards(&request->reply); /* there, so that the claim is counted */
	if (nat_is_in_range(request->flow.pod_port) || (request->flags & NAT_FLAG_HOST))
		tried = nat_try_port(bpf_ntohs(request->flow.pod_port));
	for (int i = 0; i < NAT_RANDOM_TRIES && tried == NAT_TRY_BUSY; i++)
		tried = nat_try_port(config.nat.port_low + nat_random_below(config.nat.port_count));
	for (int i = 0; i < NAT_BLOCK_TRIES && tried == NAT_TRY_BUSY; i++) {
		__u32 block = nat_emptiest_block();

		tried = nat_try_block(block);
		if (tried == NAT_TRY_BUSY)
			nat_count_block_full(&request->reply, block);
	}
	return tried;
}

/*
 * Translates a new flow to request->reply.nat_address. DROP_NONE: it is in nat_by_flow now, with
 * our tuple or with that of another CPU.
 */
static __noinline enum drop_reason nat_claim_tuple(const struct nat_request *wanted)
{
	struct nat_request *request = nat_current();
	int tried;

	if (!request)
		return DROP_NAT_TABLE_FULL;
	*request = *wanted;
	if (nat_share_is_used_up(request->flow.pod_address))
		return DROP_NAT_POD_SHARE_EXCEEDED;
	/* SCTP's checksum covers the ports, and no helper computes a CRC32c. */
	if (request->flow.protocol == IPPROTO_SCTP)
		tried = nat_try_port(bpf_ntohs(request->flow.pod_port));
	else
		tried = nat_try_any_port(request);
	if (tried == NAT_TRY_FULL)
		return DROP_NAT_TABLE_FULL;
	if (tried == NAT_TRY_BUSY)
		return DROP_NAT_PORTS_EXHAUSTED;
	return nat_insert_flow(request);
}

#endif
