/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_ICMP_H
#define PODLANE_BPF_ICMP_H

#include "bpf/lib/rewrite.h"

#define IPV4_DONT_FRAGMENT 0x4000
#define ICMP_FRAG_NEEDED   4

/* Of the packet that an error is about: its IPv4 header and the largest TCP header. RFC 792 demands
 * 28 bytes; the kernel cuts no packet with an unfinished checksum before that checksum. */
#define QUOTED_LENGTH 80

/* RFC 792 with the next hop's MTU of RFC 1191, from the first byte of the frame. */
struct frag_needed_frame {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct {
		__u8 type;
		__u8 code;
		__sum16 checksum;
		__be16 unused;
		__be16 mtu;
		__u8 quoted[QUOTED_LENGTH];
	} icmp;
} __attribute__((packed));

#define ICMP_ERROR_OVERHEAD                                                                        \
	(sizeof(struct frag_needed_frame) - sizeof(struct ethhdr) - QUOTED_LENGTH)

/* Whether a packet that is too large has to be answered and not fragmented. Nobody answers an ICMP
 * error (RFC 1122, 3.2.2). */
static __always_inline bool must_be_told(struct __sk_buff *skb, const struct packet *packet)
{
	const struct iphdr *ip = packet_bytes(skb, ETH_HLEN, sizeof(*ip));

	return ip && (ip->frag_off & bpf_htons(IPV4_DONT_FRAGMENT)) && packet->has_flow &&
	       !packet->is_fragment && packet->kind != PACKET_ICMP_ERROR &&
	       packet->total_length >= QUOTED_LENGTH;
}

/* Leaves of the packet what is quoted, with room for the error's headers before it. */
static __always_inline bool cut_to_quote(struct __sk_buff *skb)
{
	return bpf_skb_change_tail(skb, ETH_HLEN + QUOTED_LENGTH, 0) == 0 &&
	       bpf_skb_adjust_room(skb, ICMP_ERROR_OVERHEAD, BPF_ADJ_ROOM_MAC, 0) == 0 &&
	       make_linear(skb, sizeof(struct frag_needed_frame));
}

static __always_inline bool write_frag_needed(struct __sk_buff *skb, const struct packet *packet,
					      const struct pod_endpoint *pod, __u32 mtu)
{
	struct frag_needed_frame *frame = packet_bytes(skb, 0, sizeof(*frame));

	if (!frame)
		return false;
	__builtin_memcpy(frame->ethernet.h_dest, pod->mac, ETH_ALEN);
	__builtin_memcpy(frame->ethernet.h_source, pod->host_mac, ETH_ALEN);
	__builtin_memset(&frame->ip, 0, sizeof(frame->ip));
	frame->ip.version = 4;
	frame->ip.ihl = IPV4_HEADER_LENGTH / 4;
	/* RFC 1812, 4.3.2.5: the TOS of the packet, precedence "internetwork control". */
	frame->ip.tos = 0xc0 | (packet->tos & 0x1e);
	frame->ip.tot_len = bpf_htons(sizeof(*frame) - ETH_HLEN);
	frame->ip.id = bpf_get_prandom_u32();
	frame->ip.ttl = 64;
	frame->ip.protocol = IPPROTO_ICMP;
	frame->ip.saddr = config.node_address;
	frame->ip.daddr = packet->source;
	frame->ip.check = ~ipv4_header_sum(&frame->ip);
	frame->icmp.type = ICMP_DEST_UNREACH;
	frame->icmp.code = ICMP_FRAG_NEEDED;
	frame->icmp.checksum = 0;
	frame->icmp.unused = 0;
	frame->icmp.mtu = bpf_htons(mtu);
	frame->icmp.checksum =
	    ~csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&frame->icmp, sizeof(frame->icmp), 0));
	return true;
}

/*
 * Drops the packet, larger than the path that it would take, and tells the pod that sent it what
 * fits. Point of no return. The kernel would choose the same source; its errors of this kind are
 * not limited in rate either. The answer goes past the host side's egress, where the checksum that
 * the pod left unfinished would be written into the quote, which is summed up by then.
 */
static __always_inline int refuse_too_big(struct __sk_buff *skb, const struct packet *packet,
					  __u32 mtu)
{
	__be32 sender = packet->source;
	const struct pod_endpoint *pod = bpf_map_lookup_elem(&pods_by_ipv4, &sender);

	count_reason(&drop_counters, skb, DROP_TOO_BIG, DIRECTION_FROM_POD);
	if (!pod || !cut_to_quote(skb) || !write_frag_needed(skb, packet, pod, mtu))
		return TC_ACT_SHOT;
	return bpf_redirect_peer(skb->ifindex, 0);
}

#endif
