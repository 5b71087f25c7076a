/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_FLOW_H
#define PODLANE_SCHEMA_FLOW_H

#include <linux/types.h>

/*
 * Key of flow_owners: a flow as its pod on this node sees it, the same key for both directions. A
 * flow between two pods of this node has two keys, one for each of them.
 */
struct flow_key {
	__be32 pod_address;
	__be32 remote_address;
	__be16 pod_port; /* ICMP echo: the identifier, in both ports */
	__be16 remote_port;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad[3];
};

/* Who forwards a flow's packets. Without an entry: the host's stack (bpf/DESIGN.md, "Flow owners").
 */
enum flow_owner {
	FLOW_OWNER_UNDECIDED =
	    0, /* handed to the stack; fast once it leaves the stack with the tuple it came with */
	FLOW_OWNER_FAST = 1, /* podlane's programs */
	FLOW_OWNER_STACK =
	    2, /* the host's stack, which may translate it: kube-proxy, hostPort, the host itself */
};

/* Which way an undecided flow's packets were handed to the stack. */
enum flow_pending {
	FLOW_PENDING_FROM_POD = 1 << 0,
	FLOW_PENDING_TO_POD = 1 << 1,
};

/* Value of flow_owners. */
struct flow_entry {
	__u8 owner;    /* enum flow_owner */
	__u8 pending;  /* enum flow_pending, bits; meaningful while undecided */
	__u8 unmerged; /* TCP segments of a bulk transfer that came to the pod one by one, in a row
			*/
	__u8 pad;
};

_Static_assert(sizeof(struct flow_key) == 16, "no implicit padding");
_Static_assert(sizeof(struct flow_entry) == 4, "no implicit padding");

#endif
