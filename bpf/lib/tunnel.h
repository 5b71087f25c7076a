/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_TUNNEL_H
#define PODLANE_BPF_TUNNEL_H

/*
 * The checks on what comes in by VXLAN, at tc and in the driver: bpf/DESIGN.md, "Checks on what
 * comes in".
 */
#include "bpf/lib/parse.h"
#include "bpf/lib/route.h"
#include "bpf/lib/vxlan_frame.h"

/* The outer headers, after they were found good. */
struct tunnel {
	__be32 vtep; /* outer source */
	__u32 end;   /* of the outer packet in the frame; padding may follow */
	__u8 tos;
	bool has_checksum; /* UDP's */
};

enum outer_kind {
	OUTER_FOREIGN, /* nothing to do with us */
	OUTER_SLOW,    /* ours to look at once the stack has put it together */
	OUTER_VXLAN,   /* UDP to our port */
};

/* What classify_outer reads of a frame. */
#define OUTER_PORTS_LENGTH (ETH_HLEN + IPV4_HEADER_LENGTH + sizeof(struct udphdr))

/* What the frame is, by its outer IP header. Of what is not VXLAN to this node nothing further is
 * read. */
static __always_inline enum outer_kind classify_outer(context *ctx)
{
	const struct iphdr *ip = packet_bytes(ctx, ETH_HLEN, sizeof(*ip));
	const struct udphdr *udp;

	if (!ip || ip->daddr != config.node_address || ip->protocol != IPPROTO_UDP ||
	    ip->version != 4)
		return OUTER_FOREIGN;
	if (ip->ihl != IPV4_HEADER_LENGTH / 4 ||
	    (ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS)))
		return OUTER_SLOW;
	udp = packet_bytes(ctx, ETH_HLEN + IPV4_HEADER_LENGTH, sizeof(*udp));
	return udp && udp->dest == config.overlay_port ? OUTER_VXLAN : OUTER_FOREIGN;
}

static __always_inline enum drop_reason check_vxlan(context *ctx, struct tunnel *tunnel)
{
	const struct vxlan_frame *frame = packet_bytes(ctx, 0, sizeof(*frame));
	__u32 ip_length, vni_word;

	if (!frame)
		return DROP_TRUNCATED;
	ip_length = bpf_ntohs(frame->outer_ip.tot_len);
	if (ip_length + ETH_HLEN > frame_length(ctx))
		return DROP_TRUNCATED;
	if (ipv4_header_sum(&frame->outer_ip) != 0xffff)
		return DROP_BAD_IP_HEADER;
	vni_word = bpf_ntohl(frame->vxlan.vni);
	if (ip_length != bpf_ntohs(frame->udp.len) + IPV4_HEADER_LENGTH ||
	    ip_length < VXLAN_OVERHEAD || frame->vxlan.flags != bpf_htonl(VXLAN_FLAGS) ||
	    (vni_word & 0xff))
		return DROP_BAD_VXLAN_HEADER;
	if (vni_word >> 8 != config.vni)
		return DROP_WRONG_VNI;
	if (frame->inner_ethernet.h_proto != bpf_htons(ETH_P_IP))
		return DROP_BAD_INNER_FRAME;
	tunnel->vtep = frame->outer_ip.saddr;
	tunnel->end = ETH_HLEN + ip_length;
	tunnel->tos = frame->outer_ip.tos;
	tunnel->has_checksum = frame->udp.check != 0;
	return DROP_NONE;
}

static __always_inline enum drop_reason check_inner(context *ctx, const struct tunnel *tunnel,
						    struct packet *inner)
{
	if (parse_ipv4(ctx, VXLAN_INNER_IPV4, tunnel->end, inner) != DROP_NONE)
		return DROP_BAD_INNER_FRAME;
	return check_tunnel_source(tunnel->vtep, inner->source);
}

/*
 * Whether a frame that is OUTER_VXLAN may enter the overlay: DROP_NONE, and what the outer and
 * inner headers say. pull_ipv4 of the inner header comes first.
 */
static __always_inline enum drop_reason check_tunnelled(context *ctx, struct tunnel *tunnel,
							struct packet *inner)
{
	enum drop_reason drop = check_vxlan(ctx, tunnel);

	return drop != DROP_NONE ? drop : check_inner(ctx, tunnel, inner);
}

#endif
