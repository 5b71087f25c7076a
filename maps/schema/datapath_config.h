/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_DATAPATH_CONFIG_H
#define PODLANE_SCHEMA_DATAPATH_CONFIG_H

#include <linux/if_ether.h>
#include <linux/types.h>

#include "maps/schema/nat.h"

/* How a pod's packet gets its outer headers. Chosen by probing the kernel, never by its version. */
enum encapsulation {
	ENCAPSULATION_OWN_HEADERS =
	    0, /* written at the pod's veth (needs BPF_F_ADJ_ROOM_ENCAP_L2_ETH, Linux 5.13) */
	ENCAPSULATION_TUNNEL_DEVICE = 1, /* by the overlay device, from tunnel metadata */
};

/*
 * What the programs of one load hold to be fixed: read-only data, so that the verifier removes dead
 * branches. When one of these changes the agent loads the programs anew and swaps them in place.
 */
struct datapath_config {
	__be32 node_address; /* this node's VTEP: outer source, and the destination that VXLAN must
				have */
	__be32 overlay_address;	 /* of the overlay device: the InternalIP, or flannel's `.0` */
	__u32 vni;		 /* host byte order, 24 bits */
	__u32 overlay_ifindex;	 /* the VXLAN device, where the host's own traffic and the slow path
				    go */
	__be16 overlay_port;	 /* UDP */
	__u8 vtep_mac[ETH_ALEN]; /* of the overlay device: inner source MAC */
	__u32 encapsulation;	 /* enum encapsulation */
	struct nat_config nat;
};

_Static_assert(sizeof(struct datapath_config) == 80, "no implicit padding");

#endif
