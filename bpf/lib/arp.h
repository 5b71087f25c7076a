/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_ARP_H
#define PODLANE_BPF_ARP_H

#include "bpf/lib/count.h"
#include "bpf/lib/ctx.h"

/* RFC 826, as assigned; <linux/if_arp.h> needs the C library. */
#define ARPHRD_ETHER  1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY   2

/* ARP for IPv4 over Ethernet (RFC 826), from the first byte of the frame. */
struct arp_frame {
	struct ethhdr ethernet;
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender_address;
	__u8 target_mac[ETH_ALEN];
	__be32 target_address;
} __attribute__((packed));

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static __always_inline bool is_ethernet_ipv4(const struct arp_frame *arp)
{
	return arp->hardware_type == bpf_htons(ARPHRD_ETHER) &&
	       arp->protocol_type == bpf_htons(ETH_P_IP) && arp->hardware_length == ETH_ALEN &&
	       arp->protocol_length == sizeof(__be32);
}

/* Turns the request into the reply to it, in place. */
static __always_inline void write_arp_reply(struct arp_frame *arp, const struct pod_endpoint *pod)
{
	__be32 sender_address = arp->sender_address;

	__builtin_memcpy(arp->ethernet.h_dest, pod->mac, ETH_ALEN);
	__builtin_memcpy(arp->ethernet.h_source, pod->host_mac, ETH_ALEN);
	arp->operation = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(arp->sender_mac, pod->host_mac, ETH_ALEN);
	arp->sender_address = arp->target_address;
	__builtin_memcpy(arp->target_mac, pod->mac, ETH_ALEN);
	arp->target_address = sender_address;
}

/*
 * A pod asks who its gateway is: we are. Whatever else it asks is left to the stack. Its ARP must
 * name its own address and MAC; an address of 0 asks whether an address is taken (RFC 5227) and
 * claims nothing.
 */
static __always_inline int answer_arp(struct __sk_buff *skb)
{
	struct arp_frame *arp;
	const struct pod_endpoint *pod;
	__be32 sender;

	if (!make_linear(skb, sizeof(*arp)))
		return hand_over(skb, DIRECTION_FROM_POD, HANDOVER_PULL_FAILED);
	arp = packet_bytes(skb, 0, sizeof(*arp));
	if (!arp)
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_TRUNCATED);
	if (!is_ethernet_ipv4(arp) || !arp->sender_address)
		return hand_over(skb, DIRECTION_FROM_POD, HANDOVER_ARP);

	sender = arp->sender_address;
	pod = bpf_map_lookup_elem(&pods_by_ipv4, &sender);
	if (!pod || pod->ifindex != skb->ifindex || !same_mac(arp->sender_mac, pod->mac) ||
	    !same_mac(arp->ethernet.h_source, pod->mac))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_SPOOFED_ARP);
	if (arp->operation != bpf_htons(ARPOP_REQUEST) || arp->target_address != pod->gateway)
		return hand_over(skb, DIRECTION_FROM_POD, HANDOVER_ARP);

	count_path(skb, PATH_ARP_ANSWERED);
	write_arp_reply(arp, pod);
	return bpf_redirect(skb->ifindex, 0);
}

#endif
