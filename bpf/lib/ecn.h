/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_ECN_H
#define PODLANE_BPF_ECN_H

#include "bpf/lib/common.h"

/* The ECN field, the low two bits of the TOS byte (RFC 3168). */
enum ecn {
	ECN_NOT_ECT = 0,
	ECN_ECT_1 = 1,
	ECN_ECT_0 = 2,
	ECN_CE = 3,
	ECN_MASK = 3,
};

/* Outer TOS at encapsulation: ECN copied (RFC 6040, normal mode), DSCP 0 as the kernel's VXLAN
 * device has it. */
static __always_inline __u8 ecn_encapsulated(__u8 inner_tos)
{
	return inner_tos & ECN_MASK;
}

/* Inner TOS after decapsulation (RFC 6040, figure 4). False: the packet must be dropped. */
static __always_inline bool ecn_decapsulated(__u8 outer_tos, __u8 inner_tos, __u8 *result)
{
	__u8 outer = outer_tos & ECN_MASK;
	__u8 inner = inner_tos & ECN_MASK;

	*result = inner_tos;
	if (outer == ECN_CE) {
		*result = inner_tos | ECN_CE;
		return inner != ECN_NOT_ECT;
	}
	if (outer == ECN_ECT_1 && inner == ECN_ECT_0)
		*result = (inner_tos & ~ECN_MASK) | ECN_ECT_1;
	return true;
}

#endif
