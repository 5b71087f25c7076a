/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_PARSE_H
#define PODLANE_BPF_PARSE_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "bpf/lib/csum.h"
#include "bpf/lib/ctx.h"

#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_MORE_FRAGMENTS  0x2000

/* RFC 792; <linux/icmp.h> needs the C library. */
enum icmp_type {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
};

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 echo_id;
	__be16 echo_sequence;
};

/* The ports of a flow as a packet names them; ICMP echo: the identifier in both. */
struct flow_tuple {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
};

enum packet_kind {
	PACKET_DATAGRAM, /* of a protocol in which any packet may be a flow's first: UDP, SCTP, ...
			  */
	PACKET_OPENING,	 /* TCP SYN without ACK, ICMP echo request: only a flow's opener sends it */
	PACKET_MIDFLOW,	 /* any other TCP segment, ICMP echo reply */
	PACKET_ICMP_ERROR, /* the tuple is that of the packet it is about, turned round: as if sent
			      by the error's sender */
};

/* RFC 9293, 3.1: the byte behind the data offset. */
#define TCP_FIN		 0x01
#define TCP_SYN		 0x02
#define TCP_RST		 0x04
#define TCP_FLAGS_OFFSET 13

/* What the hooks need of an IPv4 packet, copied out of it once. */
struct packet {
	struct flow_tuple flow;
	__be32 source;
	__be32 destination;
	__u16 total_length;   /* bytes, host order */
	__u16 segment_length; /* of one packet on the wire: of a GSO packet, what each segment will
				 have */
	__u8 protocol; /* the packet's own; of an ICMP error flow.protocol is that of the packet it
			  quotes */
	__u8 ttl;
	__u8 tos;
	__u8 kind;	  /* enum packet_kind */
	__u8 tcp_flags;	  /* as in the header: TCP_FIN and so on */
	bool is_fragment; /* first or later */
	bool has_options;
	bool pushes;   /* TCP PSH: the sender has nothing more to say for now */
	__be16 id;     /* of the datagram, for fragments */
	bool has_flow; /* `flow` and `kind` are known: not of a later fragment, nor of a packet with
			  options */
};

/* What tells one flow of the protocol from another between the same addresses; ICMP has its echo
 * identifier. */
static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
	       protocol == IPPROTO_ICMP;
}

/* As much of the transport's header as names the flow. */
static __always_inline __u32 flow_header_length(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return sizeof(struct tcphdr);
	if (protocol == IPPROTO_ICMP)
		return sizeof(struct icmp_header);
	return has_ports(protocol) ? 2 * sizeof(__be16) : 0;
}

/* Ports of TCP, UDP and SCTP stand in the first four bytes. False: truncated. */
static __always_inline bool parse_ports(context *ctx, __u32 offset, struct flow_tuple *flow)
{
	const __be16 *ports = packet_bytes(ctx, offset, 4);

	if (!ports)
		return false;
	flow->source_port = ports[0];
	flow->destination_port = ports[1];
	return true;
}

/* The tuple of the packet that an ICMP error quotes (RFC 792), turned round. */
static __always_inline bool parse_quoted_flow(context *ctx, __u32 offset, struct flow_tuple *flow)
{
	const struct iphdr *quoted = packet_bytes(ctx, offset, sizeof(*quoted));
	struct flow_tuple forward = {};

	if (!quoted)
		return false;
	flow->source = quoted->daddr;
	flow->destination = quoted->saddr;
	flow->protocol = quoted->protocol;
	if (quoted->ihl != IPV4_HEADER_LENGTH / 4 || !has_ports(flow->protocol))
		return true;
	if (flow->protocol == IPPROTO_ICMP) {
		const struct icmp_header *echo =
		    packet_bytes(ctx, offset + IPV4_HEADER_LENGTH, sizeof(*echo));

		flow->source_port = flow->destination_port = echo ? echo->echo_id : 0;
		return echo != NULL;
	}
	if (!parse_ports(ctx, offset + IPV4_HEADER_LENGTH, &forward))
		return false;
	flow->source_port = forward.destination_port;
	flow->destination_port = forward.source_port;
	return true;
}

static __always_inline bool is_icmp_error(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

static __always_inline bool parse_icmp(context *ctx, __u32 offset, struct packet *packet)
{
	const struct icmp_header *icmp = packet_bytes(ctx, offset, sizeof(*icmp));

	if (!icmp)
		return false;
	switch (icmp->type) {
	case ICMP_ECHO:
	case ICMP_ECHOREPLY:
		packet->kind = icmp->type == ICMP_ECHO ? PACKET_OPENING : PACKET_MIDFLOW;
		packet->flow.source_port = packet->flow.destination_port = icmp->echo_id;
		return true;
	case ICMP_DEST_UNREACH:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		packet->kind = PACKET_ICMP_ERROR;
		return parse_quoted_flow(ctx, offset + sizeof(*icmp), &packet->flow);
	default:
		return true;
	}
}

/* Ports, kind, and the length that a GSO packet's segments will have. False: truncated. */
static __always_inline bool parse_transport(context *ctx, __u32 offset, struct packet *packet)
{
	__u32 header_length = sizeof(struct udphdr);

	packet->kind = PACKET_DATAGRAM;
	if (packet->flow.protocol == IPPROTO_TCP) {
		const struct tcphdr *tcp = packet_bytes(ctx, offset, sizeof(*tcp));

		if (!tcp)
			return false;
		packet->kind = tcp->syn && !tcp->ack ? PACKET_OPENING : PACKET_MIDFLOW;
		packet->flow.source_port = tcp->source;
		packet->flow.destination_port = tcp->dest;
		packet->pushes = tcp->psh;
		packet->tcp_flags = ((const __u8 *)tcp)[TCP_FLAGS_OFFSET];
		header_length = tcp->doff * 4;
	} else if (packet->flow.protocol == IPPROTO_UDP || packet->flow.protocol == IPPROTO_SCTP) {
		if (!parse_ports(ctx, offset, &packet->flow))
			return false;
	} else if (packet->flow.protocol == IPPROTO_ICMP) {
		return parse_icmp(ctx, offset, packet);
	}
	if (merged_segment_size(ctx))
		packet->segment_length =
		    IPV4_HEADER_LENGTH + header_length + merged_segment_size(ctx);
	return true;
}

static __always_inline enum drop_reason read_ipv4(context *ctx, __u32 offset, __u32 end,
						  struct packet *packet)
{
	const struct iphdr *ip = packet_bytes(ctx, offset, sizeof(*ip));

	if (!ip)
		return DROP_TRUNCATED;
	packet->total_length = packet->segment_length = bpf_ntohs(ip->tot_len);
	packet->has_options = ip->ihl > IPV4_HEADER_LENGTH / 4;
	if (ip->version != 4 || ip->ihl < IPV4_HEADER_LENGTH / 4 ||
	    packet->total_length < ip->ihl * 4)
		return DROP_BAD_IP_HEADER;
	if (offset + packet->total_length > end)
		return DROP_TRUNCATED;
	/* The checksum over options is left to the stack, which gets every packet that has them. */
	if (!packet->has_options && ipv4_header_sum(ip) != 0xffff)
		return DROP_BAD_IP_HEADER;

	packet->source = packet->flow.source = ip->saddr;
	packet->destination = packet->flow.destination = ip->daddr;
	packet->protocol = packet->flow.protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->tos = ip->tos;
	packet->id = ip->id;
	packet->is_fragment = ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS);
	packet->has_flow =
	    !packet->has_options && !(ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET));
	if (!packet->has_flow)
		return DROP_NONE;
	if (packet->total_length < IPV4_HEADER_LENGTH + flow_header_length(packet->flow.protocol))
		return DROP_TRUNCATED;
	return parse_transport(ctx, offset + IPV4_HEADER_LENGTH, packet) ? DROP_NONE
									 : DROP_TRUNCATED;
}

/* Zero, which neither the compiler nor the verifier knows. */
static __always_inline __u8 unknown_zero(__u32 any)
{
	__u32 inverse = ~any;

	asm volatile("" : "+r"(inverse));
	return any & inverse;
}

static __always_inline void add_bits(void *byte, __u8 bits)
{
	*(__u8 *)byte |= bits;
}

/*
 * Changes nothing but what the verifier knows: it walks all that follows once for every combination
 * of these that it has seen the parser write, which is half of its work, and an agent's start waits
 * for it.
 */
static __always_inline void forget_values(struct packet *packet)
{
	__u8 zero = unknown_zero(packet->source);

	add_bits(&packet->kind, zero);
	add_bits(&packet->is_fragment, zero);
	add_bits(&packet->has_options, zero);
	add_bits(&packet->has_flow, zero);
}

/*
 * Reads and checks the IPv4 header at `offset`, as RFC 1812, 5.2.2 demands of a router, and what
 * follows it. The packet must end within the first `end` bytes of the frame; padding may follow.
 */
static __always_inline enum drop_reason parse_ipv4(context *ctx, __u32 offset, __u32 end,
						   struct packet *packet)
{
	enum drop_reason drop = read_ipv4(ctx, offset, end, packet);

	forget_values(packet);
	return drop;
}

/* How much of a packet the parsers look at behind `offset` of its IPv4 header: a TCP header, and of
 * an ICMP error the quoted ports. */
#define PARSED_LENGTH	   (IPV4_HEADER_LENGTH + sizeof(struct tcphdr))
#define PARSED_ICMP_LENGTH (2 * (IPV4_HEADER_LENGTH + sizeof(struct icmp_header)))

/*
 * Makes linear what parse_ipv4 reads of the packet whose IPv4 header is at `offset`, and no more: a
 * TCP segment that carries its payload in pages is linear so far already, and pulling payload out
 * of them costs a tenth of a bulk transfer. False: as make_linear has it.
 */
static __always_inline bool pull_ipv4(context *ctx, __u32 offset)
{
	const struct iphdr *ip;

	if (!make_linear(ctx, offset + PARSED_LENGTH))
		return false;
	ip = packet_bytes(ctx, offset, sizeof(*ip));
	return !ip || ip->protocol != IPPROTO_ICMP || make_linear(ctx, offset + PARSED_ICMP_LENGTH);
}

#endif
