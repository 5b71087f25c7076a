/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_NODE_H
#define PODLANE_SCHEMA_NODE_H

#include <linux/if_ether.h>
#include <linux/types.h>

/* How packets to a node's pods leave this one. */
enum node_path {
	NODE_PATH_LOCAL = 1,	   /* this node itself: its pods are found by address */
	NODE_PATH_VXLAN = 2,	   /* encapsulated to the node's VTEP */
	NODE_PATH_DIRECT = 3,	   /* routed over the shared link, as it is */
	NODE_PATH_UNREACHABLE = 4, /* no path that may be taken: for its pods the host's stack
				      answers with ICMP */
};

/* Key of nodes_by_pod_cidr. One lookup per prefix length in use (pod_cidr_lengths), longest first.
 */
struct pod_cidr_key {
	__be32 address;	     /* network byte order, host bits zero */
	__u32 prefix_length; /* 0 to 32, host byte order */
};

/*
 * Value of nodes_by_pod_cidr and of nodes_by_ipv4 (key: __be32 address; every InternalIP in the
 * cluster, and flannel's `.0` addresses): the node that owns the prefix or the address, and the way
 * to it.
 */
struct node_route {
	__be32 vtep; /* the node's VTEP: outer destination, and the only outer source it may use */
	__be32 next_hop; /* whose MAC the outer frame takes: the VTEP itself, or the gateway towards
			    it */
	__u32 ifindex;	 /* underlay device towards the next hop; 0: the kernel has no route */
	__u32 mtu;	 /* largest IP packet of a pod's that this path carries, bytes */
	__u8 vtep_mac[ETH_ALEN]; /* inner destination MAC that the node's VXLAN device takes as its
				    own */
	__u8 path;		 /* enum node_path */
	__u8 pad;
};

#define POD_CIDR_LENGTHS_MAX 33

/* Value of pod_cidr_lengths[0]: the prefix lengths that podCIDRs in the cluster have, longest
 * first. */
struct pod_cidr_lengths {
	__u32 count;
	__u8 length[POD_CIDR_LENGTHS_MAX];
	__u8 pad[3];
};

_Static_assert(sizeof(struct pod_cidr_key) == 8, "no implicit padding");
_Static_assert(sizeof(struct node_route) == 24, "no implicit padding");
_Static_assert(sizeof(struct pod_cidr_lengths) == 40, "no implicit padding");

#endif
