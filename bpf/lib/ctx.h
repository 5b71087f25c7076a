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

/* Makes the packet's first `length` bytes linear, or all of it when it is shorter. False: out of
 * memory. */
static __always_inline bool make_linear(struct __sk_buff *skb, __u32 length)
{
	__u32 linear = (long)skb->data_end - (long)skb->data;
	__u32 wanted = length < skb->len ? length : skb->len;

	return linear >= wanted || bpf_skb_pull_data(skb, wanted) == 0;
}

#endif
