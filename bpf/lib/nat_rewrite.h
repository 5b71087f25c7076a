/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_REWRITE_H
#define PODLANE_BPF_NAT_REWRITE_H

#include "bpf/lib/csum.h"
#include "bpf/lib/ctx.h"
#include "bpf/lib/parse.h"

/* Translating a packet: one end's address and port, and every checksum that covers them. */

/* Which end of the flow is the pod's. */
enum nat_end {
	NAT_END_SOURCE,	     /* on the way out */
	NAT_END_DESTINATION, /* on the way in */
};

struct nat_change {
	__be32 old_address;
	__be32 new_address;
	__be16 old_port; /* both 0 where there is none to translate */
	__be16 new_port;
};

#define NAT_TRANSPORT	     (link_header_length + IPV4_HEADER_LENGTH)
#define NAT_QUOTED_IPV4	     (NAT_TRANSPORT + sizeof(struct icmp_header))
#define NAT_QUOTED_TRANSPORT (NAT_QUOTED_IPV4 + IPV4_HEADER_LENGTH)

/*
 * The checksum of a TCP or UDP header. By helpers, since the programs cannot see whether the
 * checksum is still to be computed by the device (then it holds the pseudo header alone, which has
 * no ports). One of UDP that is zero stays so.
 */
static __always_inline bool nat_fix_transport(struct __sk_buff *skb, __u8 protocol,
					      const struct nat_change *change)
{
	__u32 offset = NAT_TRANSPORT + offsetof(struct tcphdr, check);
	__u64 flags = 0;

	if (protocol == IPPROTO_UDP) {
		offset = NAT_TRANSPORT + offsetof(struct udphdr, check);
		flags = BPF_F_MARK_MANGLED_0;
	}
	if (bpf_l4_csum_replace(skb, offset, change->old_address, change->new_address,
				flags | BPF_F_PSEUDO_HDR | sizeof(__be32)))
		return false;
	return change->old_port == change->new_port ||
	       !bpf_l4_csum_replace(skb, offset, change->old_port, change->new_port,
				    flags | sizeof(__be16));
}

/* Writes an address into an IPv4 header, whose checksum follows. */
static __always_inline void nat_write_address(struct iphdr *ip, enum nat_end end, __be32 address)
{
	__be32 *field = end == NAT_END_SOURCE ? &ip->saddr : &ip->daddr;
	__be32 before = *field;

	*field = address;
	ip->check = csum_replace_word(ip->check, before, address);
	ip->check = csum_replace_word(ip->check, before >> 16, address >> 16);
}

static __always_inline bool nat_write_ipv4(struct __sk_buff *skb, enum nat_end end, __be32 address)
{
	struct iphdr *ip = packet_bytes(skb, link_header_length, sizeof(*ip));

	if (!ip)
		return false;
	nat_write_address(ip, end, address);
	return true;
}

static __always_inline bool nat_write_ports(struct __sk_buff *skb, enum nat_end end,
					    const struct nat_change *change)
{
	__be16 *ports = packet_bytes(skb, NAT_TRANSPORT, 2 * sizeof(*ports));

	if (!ports)
		return false;
	ports[end == NAT_END_SOURCE ? 0 : 1] = change->new_port;
	return true;
}

/* Writes a word, and into `checksum` that which covers it. */
static __always_inline void nat_write_word(__u16 *word, __u16 value, __sum16 *checksum)
{
	*checksum = csum_replace_word(*checksum, *word, value);
	*word = value;
}

static __always_inline bool nat_write_echo(struct __sk_buff *skb, const struct nat_change *change)
{
	struct icmp_header *icmp = packet_bytes(skb, NAT_TRANSPORT, sizeof(*icmp));

	if (!icmp)
		return false;
	nat_write_word(&icmp->echo_id, change->new_port, &icmp->checksum);
	return true;
}

/* The checksum of the packet that an error quotes, where that much is quoted; the error's own,
 * `checksum`, covers it. */
static __always_inline void nat_fix_quoted(struct __sk_buff *skb, __u8 protocol,
					   const struct nat_change *change, __sum16 *checksum)
{
	__sum16 *quoted, fixed;

	if (protocol == IPPROTO_TCP)
		quoted = packet_bytes(skb, NAT_QUOTED_TRANSPORT + offsetof(struct tcphdr, check),
				      sizeof(*quoted));
	else
		quoted = packet_bytes(skb, NAT_QUOTED_TRANSPORT + offsetof(struct udphdr, check),
				      sizeof(*quoted));
	if (!quoted || (protocol == IPPROTO_UDP && !*quoted))
		return;
	fixed = csum_replace_word(*quoted, change->old_address, change->new_address);
	fixed = csum_replace_word(fixed, change->old_address >> 16, change->new_address >> 16);
	fixed = csum_replace_word(fixed, change->old_port, change->new_port);
	nat_write_word(quoted, protocol == IPPROTO_UDP && !fixed ? 0xffff : fixed, checksum);
}

/* The ports that an error quotes, or the echo's identifier and checksum. */
static __always_inline bool nat_write_quoted_ports(struct __sk_buff *skb, __u8 protocol,
						   enum nat_end end,
						   const struct nat_change *change,
						   __sum16 *checksum)
{
	if (protocol == IPPROTO_ICMP) {
		struct icmp_header *echo = packet_bytes(skb, NAT_QUOTED_TRANSPORT, sizeof(*echo));

		if (!echo)
			return false;
		nat_write_word(
		    &echo->checksum,
		    csum_replace_word(echo->checksum, change->old_port, change->new_port),
		    checksum);
		nat_write_word(&echo->echo_id, change->new_port, checksum);
	} else {
		__be16 *ports = packet_bytes(skb, NAT_QUOTED_TRANSPORT, 2 * sizeof(*ports));

		if (!ports)
			return false;
		nat_write_word(&ports[end == NAT_END_SOURCE ? 0 : 1], change->new_port, checksum);
	}
	return true;
}

/*
 * The packet that an ICMP error quotes went the other way: the pod's end is its other one. Its IPv4
 * header is translated with its checksum, which leaves the sum over it as it was.
 */
static __always_inline bool nat_write_quoted(struct __sk_buff *skb, const struct packet *packet,
					     enum nat_end end, const struct nat_change *change)
{
	struct iphdr *quoted = packet_bytes(skb, NAT_QUOTED_IPV4, sizeof(*quoted));
	struct icmp_header *icmp = packet_bytes(skb, NAT_TRANSPORT, sizeof(*icmp));
	__u8 protocol = packet->flow.protocol;
	__sum16 checksum;

	if (!quoted || !icmp)
		return false;
	checksum = icmp->checksum;
	nat_write_address(quoted, end, change->new_address);
	if (!nat_write_quoted_ports(skb, protocol, end, change, &checksum))
		return false;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)
		nat_fix_quoted(skb, protocol, change, &checksum);
	icmp->checksum = checksum;
	return true;
}

/* How much of an error is looked at: a whole TCP header that it may quote. */
#define NAT_ERROR_LENGTH (NAT_QUOTED_TRANSPORT + sizeof(struct tcphdr))

/* Of an error that the host itself sends nothing else is to be translated: its source is no pod. */
static __noinline bool nat_rewrite_quotation(struct __sk_buff *skb, const struct packet *packet,
					     enum nat_end end, const struct nat_change *change)
{
	enum nat_end quoted = end == NAT_END_SOURCE ? NAT_END_DESTINATION : NAT_END_SOURCE;

	return make_linear(skb, NAT_ERROR_LENGTH) && nat_write_quoted(skb, packet, quoted, change);
}

static __always_inline bool nat_rewrite_error(struct __sk_buff *skb, const struct packet *packet,
					      enum nat_end end, const struct nat_change *change)
{
	return nat_rewrite_quotation(skb, packet, end, change) &&
	       nat_write_ipv4(skb, end, change->new_address);
}

/* A packet that names its flow. False: the packet is spoilt. */
static __noinline bool nat_rewrite(struct __sk_buff *skb, const struct packet *packet,
				   enum nat_end end, const struct nat_change *change)
{
	__u8 protocol = packet->flow.protocol;

	if (packet->kind == PACKET_ICMP_ERROR)
		return nat_rewrite_error(skb, packet, end, change);
	if (protocol == IPPROTO_ICMP) {
		if (!nat_write_echo(skb, change))
			return false;
	} else if (protocol != IPPROTO_SCTP) {
		if (!nat_fix_transport(skb, protocol, change) || !nat_write_ports(skb, end, change))
			return false;
	}
	return nat_write_ipv4(skb, end, change->new_address);
}

/* A later fragment has no ports. */
static __always_inline bool nat_rewrite_fragment(struct __sk_buff *skb, enum nat_end end,
						 __be32 address)
{
	return nat_write_ipv4(skb, end, address);
}

#endif
