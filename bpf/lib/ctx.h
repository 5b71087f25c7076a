/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_CTX_H
#define PODLANE_BPF_CTX_H

#include "bpf/lib/common.h"

/*
 * The packet as the hook gets it. Code that takes a `context` and uses the verbs below serves both
 * kinds of hook; what takes an skb is of tc alone.
 */
#ifdef PODLANE_XDP
typedef struct xdp_md context;
#else
typedef struct __sk_buff context;
#endif

/*
 * A pointer to `length` bytes of the packet from `offset`, or NULL when they are not in its linear
 * part. With constants for both, the verifier knows the bytes to be there. Any helper that changes
 * the packet invalidates it.
 */
static __always_inline void *packet_bytes(context *ctx, __u32 offset, __u32 length)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;

	if (data + offset + length > data_end)
		return NULL;
	return data + offset;
}

/* How many bytes of the packet are linear. Read apart from packet_bytes: a difference needs 32 bits
 * of the two pointers, and what clang has once cut to 32 bits is no pointer any more to the
 * verifier. */
static __always_inline __u32 linear_length(context *ctx)
{
	__u64 data, data_end;

	asm volatile("%0 = *(u32 *)(%2 + %3)\n"
		     "%1 = *(u32 *)(%2 + %4)"
		     : "=&r"(data), "=&r"(data_end)
		     : "r"(ctx), "i"(offsetof(context, data)), "i"(offsetof(context, data_end)));
	return data_end - data;
}

#ifdef PODLANE_XDP

/* Not 0: the kernel may give this load packets in several buffers, of which only the first is
 * linear (Linux 5.18). Set by the loader, together with the program's flag. */
const volatile __u32 multi_buffer = 0;

/* Bytes of the frame. */
static __always_inline __u32 frame_length(context *ctx)
{
	return multi_buffer ? bpf_xdp_get_buff_len(ctx) : linear_length(ctx);
}

/* Of what was merged, bytes of payload that each segment will have: the driver merges behind us. */
static __always_inline __u32 merged_segment_size(context *ctx)
{
	return 0;
}

/* Whether the packet's first `length` bytes are linear, or all of it when it is shorter. Nothing
 * can be pulled in the driver: false leaves the packet to tc. */
static __always_inline bool make_linear(context *ctx, __u32 length)
{
	__u32 linear = linear_length(ctx);

	return linear >= length || linear == frame_length(ctx);
}

#else

/* Where the IPv4 header begins on the devices that this load is for: ETH_HLEN, or 0 on those that
 * have no Ethernet header (tun, ppp, WireGuard, ipip). Set by the loader. */
const volatile __u32 link_header_length = ETH_HLEN;

static __always_inline __u32 frame_length(const context *ctx)
{
	return ctx->len;
}

static __always_inline __u32 merged_segment_size(const context *ctx)
{
	return ctx->gso_size;
}

/* Makes the packet's first `length` bytes linear, or all of it when it is shorter. False: out of
 * memory. */
static __always_inline bool make_linear(context *ctx, __u32 length)
{
	__u32 wanted = length < ctx->len ? length : ctx->len;

	return linear_length(ctx) >= wanted || bpf_skb_pull_data(ctx, wanted) == 0;
}

#endif

#endif
