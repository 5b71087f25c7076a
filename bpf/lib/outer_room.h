/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_OUTER_ROOM_H
#define PODLANE_BPF_OUTER_ROOM_H

#include <linux/types.h>
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

/*
 * Room for the outer headers. Needs neither maps nor configuration, so that
 * probe_encapsulation.bpf.c tries out on a kernel the very call that the datapath makes.
 */

#define VXLAN_OVERHEAD 50 /* what encapsulation adds to the packet, bytes */

/* Makes room for the outer headers so that segmentation offload goes on working. False: the kernel
 * refused. */
static __always_inline bool push_outer_headers(struct __sk_buff *skb)
{
	/*
	 * Without the ENCAP flags bulk TCP stops; the L2 length is that of the inner Ethernet
	 * header alone. The kernel refuses what is a tunnel packet already, as after our own
	 * decapsulation (a pod that forwards), and before Linux 5.13 every packet: it does not know
	 * ENCAP_L2_ETH.
	 */
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET |
			    BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
			    BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;

	return bpf_skb_adjust_room(skb, VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, flags) == 0;
}

static __always_inline bool pop_outer_headers(struct __sk_buff *skb)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	return bpf_skb_adjust_room(skb, -VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, flags) == 0;
}

#endif
