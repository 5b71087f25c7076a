/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_POD_H
#define PODLANE_SCHEMA_POD_H

#include <linux/if_ether.h>
#include <linux/types.h>

enum pod_flag {
	POD_FLAG_NO_SNAT = 1 << 0, /* leaves for the outside with its own address */
	/* for the moment: has traffic and no programs yet, so that what leaves the stack for it
	 * tells nothing of who owns the flow */
	POD_FLAG_UNHOOKED = 1 << 1,
};

/*
 * Value of pods_by_ipv4: a pod of this node. Key: __be32 address.
 * The same entry says where a packet for the address goes, and who may send from it.
 */
struct pod_endpoint {
	__u32 ifindex;		 /* host side of the pod's veth pair */
	__u32 mtu;		 /* of the pod's interface, bytes of IP */
	__be32 gateway;		 /* answered by ARP with host_mac */
	__u8 mac[ETH_ALEN];	 /* the pod's */
	__u8 host_mac[ETH_ALEN]; /* of the host side: the pod's view of its gateway */
	__be32 egress_address; /* what its packets to the outside are translated to; 0: the address
				  of the device that they leave by */
	__u8 flags;	       /* enum pod_flag, bits */
	__u8 pad[3];
};

_Static_assert(sizeof(struct pod_endpoint) == 32, "no implicit padding");

#endif
