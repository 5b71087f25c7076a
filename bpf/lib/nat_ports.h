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
/*
 * Counts may be wrong by what other CPUs do: the emptiest block, and if it is full, the next. Where
 * ports are short counts say nothing of flows that are as good as over: a small range is searched
 * whole.
 */
#define NAT_BLOCK_TRIES	     2
#define NAT_BLOCK_TRIES_MOST 8
#define NAT_PORT_TRIES	     128

/* Added to a number of free ports, which may seem to be below zero. */
#define NO_PORT_FREE (1U << 20)

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
	struct nat_destination destination = nat_destination_of(reply);
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
 * Without a branch: in a loop the verifier follows both ways of each, round after round. Both are
 * below 2^63; the compiler is not to see what is meant, and make a branch of it.
 */
static __always_inline __u64 larger_of(__u64 one, __u64 other)
{
	__u64 more = other - one;
	__u64 keep = more;

	asm volatile("%0 s>>= 63" : "+r"(keep));
	return one + (more & ~keep);
}

/* By how many ports the last block is smaller than the others. */
static __always_inline __u32 nat_shortage(void)
{
	return config.nat.block_count * config.nat.block_size - config.nat.port_count;
}

/* How many ports of the block are free, and how far it is from where the search began. */
static __always_inline __u64 nat_rank(__u32 block, __s32 used, __u32 distance)
{
	__u64 last = block - (config.nat.block_count - 1ULL); /* 0, or below it */
	__u64 room = NO_PORT_FREE + config.nat.block_size;

	asm volatile("%0 s>>= 63" : "+r"(last));
	room -= ~last & nat_shortage();
	return (room - used) << 8 | distance;
}

/*
 * The block with the most free ports; of several one at random. Where it has none the request is in
 * need. What is compared carries its distance from a random block along, so that the verifier has
 * one unknown number to follow and not a path for each block.
 */
__noinline int nat_emptiest_block(void)
{
	struct nat_request *request = nat_current();
	const struct nat_ports *ports = request ? nat_ports_towards(&request->reply) : NULL;
	__u32 start = bpf_get_prandom_u32();
	__u64 best = 0;

	if (!ports)
		return nat_random_below(config.nat.block_count);
	for (__u32 i = 0; i < NAT_BLOCKS_MAX; i++) {
		__u32 block;

		if (i >= config.nat.block_count)
			break;
		block = (start + i) % config.nat.block_count & (NAT_BLOCKS_MAX - 1);
		best = larger_of(best, nat_rank(block, ports->used[block], i));
	}
	request->in_need = best >> 8 <= NO_PORT_FREE;
	return (start + (best & (NAT_BLOCKS_MAX - 1))) % config.nat.block_count;
}

/* enum nat_try */
__noinline int nat_try_block(__u32 block)
{
	__u32 first = config.nat.port_low + block * config.nat.block_size;
	__u32 count = nat_ports_in_block(block);
	__u32 start = nat_random_below(count);

	for (__u32 i = 0; i < NAT_BLOCK_SIZE_MAX; i++) {
		int tried;

		if (i >= count)
			break;
		tried = nat_try_port(first + (start + i) % count);
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

/* Any port of the range, if its block is less than half in use. A try that fails touches memory
 * that is in no cache. */
static __always_inline int nat_try_random_port(const struct nat_ports *ports)
{
	__u32 offset = nat_random_below(config.nat.port_count);
	__u32 block = config.nat.block_size ? offset / config.nat.block_size : 0;
	__s32 used = ports ? ports->used[block & (NAT_BLOCKS_MAX - 1)] : 0;

	if (2 * used >= (__s32)nat_ports_in_block(block))
		return NAT_TRY_BUSY;
	return nat_try_port(config.nat.port_low + offset);
}

static __always_inline bool nat_may_try_block(const struct nat_request *request, __u32 tries)
{
	return tries < NAT_BLOCK_TRIES ||
	       (request->in_need && tries * config.nat.block_size < NAT_PORT_TRIES);
}

static __always_inline __u32 nat_next_block(const struct nat_request *request, __u32 block)
{
	return request->in_need && config.nat.block_count ? (block + 1) % config.nat.block_count
							  : nat_emptiest_block();
}

static __always_inline int nat_try_blocks(struct nat_request *request)
{
	__u32 block = nat_emptiest_block();

	for (__u32 i = 0; i < NAT_BLOCK_TRIES_MOST && nat_may_try_block(request, i); i++) {
		int tried = nat_try_block(block);

		if (tried != NAT_TRY_BUSY)
			return tried;
		nat_count_block_full(&request->reply, block);
		block = nat_next_block(request, block);
	}
	return NAT_TRY_BUSY;
}

static __always_inline int nat_try_any_port(struct nat_request *request)
{
	/* There before the claim, so that the claim is counted. */
	const struct nat_ports *ports = nat_ports_towards(&request->reply);
	int tried = NAT_TRY_BUSY;

	if (nat_is_in_range(request->flow.pod_port) || (request->flags & NAT_FLAG_HOST))
		tried = nat_try_port(bpf_ntohs(request->flow.pod_port));
	for (int i = 0; i < NAT_RANDOM_TRIES && tried == NAT_TRY_BUSY; i++)
		tried = nat_try_random_port(ports);
	return tried == NAT_TRY_BUSY ? nat_try_blocks(request) : tried;
}

/*
 * Translates the new flow of the current request to its reply.nat_address; enum drop_reason.
 * DROP_NONE: it is in nat_by_flow now, with our tuple or with that of another CPU.
 */
__noinline int nat_claim_tuple(void)
{
	struct nat_request *request = nat_current();
	int tried;

	if (!request)
		return DROP_NAT_TABLE_FULL;
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
