/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_REWRITE_H
#define PODLANE_BPF_REWRITE_H

#include "bpf/lib/count.h"
#include "bpf/lib/csum.h"
#include "bpf/lib/ctx.h"
#include "bpf/lib/parse.h"

/* Decrements the TTL of the IPv4 header at `offset` and sets its TOS, as a router at the end of a
 * tunnel does. */
static __always_inline bool route_ipv4(struct __sk_buff *skb, __u32 offset, __u8 tos)
{
	struct iphdr *ip = packet_bytes(skb, offset, sizeof(*ip));
	__u16 *first_word, *ttl_word;
	__u16 before;

	if (!ip)
		return false;
	if (ip->tos != tos) {
		first_word = (__u16 *)ip; /* version, header length, TOS */
		before = *first_word;
		ip->tos = tos;
		ip->check = csum_replace_word(ip->check, before, *first_word);
	}
	ttl_word = (__u16 *)&ip->ttl; /* TTL, protocol */
	before = *ttl_word;
	ip->ttl -= 1;
	ip->check = csum_replace_word(ip->check, before, *ttl_word);
	return true;
}

static __always_inline bool write_macs(struct __sk_buff *skb, const __u8 *destination,
				       const __u8 *source)
{
	struct ethhdr *ethernet = packet_bytes(skb, 0, sizeof(*ethernet));

	if (!ethernet)
		return false;
	__builtin_memcpy(ethernet->h_dest, destination, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, source, ETH_ALEN);
	return true;
}

/* What keeps a good packet off the fast path, or HANDOVER_NONE. `mtu` is that of the way it would
 * take. */
static __always_inline enum handover_reason check_forwardable(const struct packet *packet,
							      __u32 mtu)
{
	if (packet->ttl <= 1)
		return HANDOVER_TTL_EXPIRED;
	if (packet->segment_length > mtu)
		return HANDOVER_TOO_BIG;
	return HANDOVER_NONE;
}

#endif
