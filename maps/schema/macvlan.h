/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_MACVLAN_H
#define PODLANE_SCHEMA_MACVLAN_H

#include <linux/if_ether.h>
#include <linux/types.h>

/*
 * Value of macvlan_pods_by_ipv4: a macvlan pod of this node, which the host reaches by the shim of
 * its network. Key: __be32 address.
 */
struct macvlan_pod {
	__u32 ifindex;	     /* of the shim */
	__be32 host_address; /* the host's on that LAN: what the shim answers ARP for */
	__u8 mac[ETH_ALEN];  /* the pod's */
	__u8 pad[2];
};

_Static_assert(sizeof(struct macvlan_pod) == 16, "no implicit padding");

#endif
