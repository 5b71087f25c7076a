/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_COMMON_H
#define PODLANE_BPF_COMMON_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps/schema/datapath_config.h"
#include "maps/schema/drop_reason.h"
#include "maps/schema/maps.h"

/* Filled in by the loader before the programs are loaded; the verifier takes its fields for
 * constants. */
const volatile struct datapath_config config SEC(".rodata.config");

/*
 * A program that runs in the driver defines PODLANE_XDP before its first include; all others are of
 * tc. VERDICT_PASS is "nothing more from us": the next program on the hook, then the stack.
 * TCX_NEXT has the same value.
 */
#ifdef PODLANE_XDP
#define VERDICT_PASS XDP_PASS
#define VERDICT_DROP XDP_DROP
#else
#define VERDICT_PASS TC_ACT_UNSPEC
#define VERDICT_DROP TC_ACT_SHOT
#endif

/*
 * Set in skb->mark from from-pod to the egress hook of the overlay or the underlay device, and by
 * nobody else: the packet is the fast path's, the stack has not seen it. Never leaves the node:
 * both hooks clear it, and every packet that is encapsulated has its mark cleared.
 */
#define MARK_FAST_PATH 0x504c4e45

#define IPV4_HEADER_LENGTH  20
#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#endif
