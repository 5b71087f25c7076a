/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_CSUM_H
#define PODLANE_BPF_CSUM_H

#include "bpf/lib/common.h"

/* Folds a one's complement sum into 16 bits (RFC 1071). */
static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* One's complement sum of an IPv4 header without options, its checksum included: 0xffff when it is
 * right. */
static __always_inline __u16 ipv4_header_sum(const struct iphdr *ip)
{
	const __u16 *word = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < IPV4_HEADER_LENGTH / 2; i++)
		sum += word[i];
	return csum_fold(sum);
}

/* The checksum after one 16-bit word changed (RFC 1624, equation 3). Both words as they stand in
 * the packet. */
static __always_inline __sum16 csum_replace_word(__sum16 checksum, __u16 old_word, __u16 new_word)
{
	__u32 sum = (__u16)~checksum;

	sum += (__u16)~old_word;
	sum += new_word;
	return (__sum16)~csum_fold(sum);
}

#endif
