// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Ingress of a device that packets can leave the node by and that no way to another node uses. It
 * is loaded twice: for devices with an Ethernet header, and for those without one.
 *
 *   to a translated flow         translated back and redirected into the pod, or passed on where
 *                                the stack has to forward it
 *   anything else                passed on, untouched: this is no entrance to the overlay
 */
#include "bpf/lib/nat_in.h"

SEC("tc/ingress")
int from_uplink(struct __sk_buff *skb)
{
	/* A frame with a VLAN tag is for the VLAN's own device. */
	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST ||
	    skb->vlan_present)
		return VERDICT_PASS;
	if (!make_linear(skb, NAT_TRANSPORT + 2 * sizeof(__be16)))
		return VERDICT_PASS;
	return nat_receive(skb);
}

char _license[] SEC("license") = "Dual BSD/GPL";
