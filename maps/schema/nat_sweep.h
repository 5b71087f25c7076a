/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_NAT_SWEEP_H
#define PODLANE_SCHEMA_NAT_SWEEP_H

#include <linux/types.h>

/* How many keys of nat_by_flow one run of bpf/nat_sweep.bpf.c takes. */
#define NAT_SWEEP_MAX 64

/* Which of them go. */
struct nat_sweep_order {
	__be32 address;	 /* those that are translated to it, whatever their age; 0: those that are
			    over */
	__u8 unanswered; /* 1: of those with the address the ones that no remote has answered */
	__u8 pad[3];
};

#endif
