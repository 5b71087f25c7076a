/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_HOST_H
#define PODLANE_BPF_HOST_H

#include "bpf/lib/ctx.h"

/*
 * Whether the stack would take a packet to the address for the host itself. Of an address that it
 * has no route to as well: there it goes nowhere.
 */
static __always_inline bool is_hosts_address(struct __sk_buff *skb, __be32 address)
{
	struct bpf_fib_lookup fib = {
	    .family = 2 /* AF_INET */,
	    .ifindex = skb->ifindex,
	    .ipv4_dst = address,
	};
	long found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);

	/* A local route is none to forward by; without forwarding there are no others. */
	return found == BPF_FIB_LKUP_RET_NOT_FWDED || found == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

#endif
