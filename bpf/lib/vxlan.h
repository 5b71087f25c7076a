/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_VXLAN_H
#define PODLANE_BPF_VXLAN_H

#include "bpf/lib/ctx.h"
#include "bpf/lib/csum.h"
#include "bpf/lib/ecn.h"
#include "bpf/lib/vxlan_frame.h"

/*
 * A source port in the dynamic range (RFC 7348, section 5) from the hash of the flow: the
 * underlay's ECMP and the peer's receive queues spread flows by it.
 */
static __always_inline __be16 vxlan_source_port(__u32 flow_hash)
{
	return bpf_htons(0xc000 | ((flow_hash ^ flow_hash >> 16) & 0x3fff));
}

static __always_inline void write_outer_ipv4(struct iphdr *ip, __be32 destination,
					     __u16 total_length, __u8 tos)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = IPV4_HEADER_LENGTH / 4;
	ip->tos = tos;
	ip->tot_len = bpf_htons(total_length);
	/* May be fragmented on its way, so the identification must differ (RFC 6864). */
	ip->id = bpf_get_prandom_u32();
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = config.node_address;
	ip->daddr = destination;
	ip->check = ~ipv4_header_sum(ip);
}

/* Fills the room in front of the inner IP header. The outer MACs are left to neighbour output. */
static __always_inline bool write_outer_headers(struct __sk_buff *skb,
						const struct node_route *route, __be16 source_port,
						__u8 tos)
{
	struct vxlan_frame *frame = packet_bytes(skb, 0, sizeof(*frame));
	__u16 total_length = skb->len - ETH_HLEN;

	if (!frame)
		return false;
	write_outer_ipv4(&frame->outer_ip, route->vtep, total_length, tos);
	frame->udp.source = source_port;
	frame->udp.dest = config.overlay_port;
	frame->udp.len = bpf_htons(total_length - IPV4_HEADER_LENGTH);
	frame->udp.check = 0; /* allowed over IPv4 (RFC 7348, section 5) */
	frame->vxlan.flags = bpf_htonl(VXLAN_FLAGS);
	frame->vxlan.vni = bpf_htonl(config.vni << 8);
	__builtin_memcpy(frame->inner_ethernet.h_dest, route->vtep_mac, ETH_ALEN);
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		frame->inner_ethernet.h_source[i] = config.vtep_mac[i];
	frame->inner_ethernet.h_proto = bpf_htons(ETH_P_IP);
	return true;
}

#endif
