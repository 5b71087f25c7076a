/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_VXLAN_FRAME_H
#define PODLANE_BPF_VXLAN_FRAME_H

#include <linux/udp.h>

#include "bpf/lib/common.h"
#include "bpf/lib/outer_room.h"

/* RFC 7348, section 5. The kernel accepts exactly these flags, and so do we. */
#define VXLAN_FLAGS 0x08000000

struct vxlanhdr {
	__be32 flags;
	__be32 vni; /* 24 bits, then 8 reserved ones */
};

/* A packet with its outer headers, from the first byte of the frame; the inner IP header follows.
 */
struct vxlan_frame {
	struct ethhdr outer_ethernet;
	struct iphdr outer_ip;
	struct udphdr udp;
	struct vxlanhdr vxlan;
	struct ethhdr inner_ethernet;
} __attribute__((packed));

#define VXLAN_INNER_IPV4 64 /* where the inner IP header stands in the frame */

_Static_assert(sizeof(struct vxlan_frame) == VXLAN_INNER_IPV4,
	       "the headers stand one behind the other");
_Static_assert(VXLAN_INNER_IPV4 == ETH_HLEN + VXLAN_OVERHEAD,
	       "only the outer Ethernet header is not overhead");

#endif
