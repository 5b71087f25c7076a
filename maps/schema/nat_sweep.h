/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_NAT_SWEEP_H
#define PODLANE_SCHEMA_NAT_SWEEP_H

/* How many keys of nat_by_flow one run of bpf/nat_sweep.bpf.c takes. */
#define NAT_SWEEP_MAX 64

#endif
