/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_CTX_H
#define PODLANE_BPF_CTX_H

#include "bpf/lib/common.h"

/*
 * A pointer to `length` bytes of the packet from `offset`, or NULL when they are not in its linear
 * part. With constants for both, the verifier knows the bytes to be there. Any helper that changes
 * the packet invalidates it.
 */
static __always_inline void *packet_bytes(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;

	if (data + offset + length > data_end)
		return NULL;
	return data + offset;
}

/* How many bytes of the packet are linear. Read apart from packet_bytes: a difference needs 32 bits
 * of the two pointers, and what clang has once cut to 32 bits is no pointer any more to the
 * verifier. */
static __always_inline __u32 linear_length(struct __sk_buff *skb)
{
	__u64 data, data_end;

	asm volatile("%0 = *(u32 *)(%2 + %3)\n"
		     "%1 = *(u32 *)(%2 + %4)"
		     : "=&r"(data), "=&r"(data_end)
		     : "r"(skb), "i"(offsetof(struct __sk_buff, data)),
		       "i"(offsetof(struct __sk_buff, data_end)));
	return data_end - data;
}

/* Makes the packet's first `length` bytes linear, or all of it when it is shorter. False: out of
 * memory. */
static __always_inline bool make_linear(struct __sk_buff *skb, __u32 length)
{
	__u32 wanted = length < skb->len ? length : skb->len;

	return linear_length(skb) >= wanted || bpf_skb_pull_data(skb, wanted) == 0;
}

#endif
