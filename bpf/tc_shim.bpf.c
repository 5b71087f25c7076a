// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * A macvlan shim: the host's own macvlan on a LAN, which carries the host's address as its master
 * does. Only this node's macvlan pods may meet it. A macvlan gets a copy of every broadcast on the
 * LAN, and would answer a neighbour's ARP request beside the master; and what it sends to anybody
 * but a local macvlan leaves by the master, with the shim's MAC.
 *
 *   from_shim  ingress: IPv4 from a macvlan pod of this node, and its ARP requests for the host
 *   to_shim    egress: IPv4 to a macvlan pod of this node, and the answers to its ARP requests
 */
#include "bpf/lib/arp.h"
#include "bpf/lib/count.h"
#include "bpf/lib/host.h"
#include "bpf/lib/parse.h"
#include "bpf/lib/parse.h"

/* RFC 792; RFC 1122, 3.2.2.2, has hosts believe it. */
#define ICMP_REDIRECT 5

/* The macvlan pod behind this shim that has the address, or NULL. */
static __always_inline const struct macvlan_pod *find_pod(struct __sk_buff *skb, __be32 address)
{
	const struct macvlan_pod *pod = bpf_map_lookup_elem(&macvlan_pods_by_ipv4, &address);

	return pod && pod->ifindex == skb->ifindex ? pod : NULL;
}

static __always_inline bool is_loopback(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000); /* 127.0.0.0/8 */
}

/* The host's address on the LAN, or any other that it has: a second one, or one that fails over
 * between hosts. None that it would forward to, and might answer for (proxy ARP). */
static __always_inline bool is_on_the_host(struct __sk_buff *skb, const struct macvlan_pod *pod,
					   __be32 address)
{
	return address == pod->host_address ||
	       (!is_loopback(address) && is_hosts_address(skb, address));
}

static __always_inline enum drop_reason check_ipv4_from_pod(struct __sk_buff *skb)
{
	const struct iphdr *ip = packet_bytes(skb, ETH_HLEN, sizeof(*ip));
	const struct macvlan_pod *pod = ip ? find_pod(skb, ip->saddr) : NULL;
	const struct ethhdr *ethernet = packet_bytes(skb, 0, sizeof(*ethernet));

	if (!pod || !ethernet || !same_mac(ethernet->h_source, pod->mac))
		return DROP_SHIM_FOREIGN_SENDER;
	/* net.ipv4.conf.*.route_localnet, which kube-proxy sets, would let it in. */
	return is_loopback(ip->daddr) ? DROP_SHIM_TO_LOOPBACK : DROP_NONE;
}

static __always_inline enum drop_reason check_arp_from_pod(struct __sk_buff *skb)
{
	const struct arp_frame *arp = packet_bytes(skb, 0, sizeof(*arp));
	const struct macvlan_pod *pod;

	if (!arp || !is_ethernet_ipv4(arp))
		return DROP_SHIM_FOREIGN_SENDER;
	pod = find_pod(skb, arp->sender_address);
	if (!pod || !same_mac(arp->ethernet.h_source, pod->mac) ||
	    !same_mac(arp->sender_mac, pod->mac))
		return DROP_SHIM_FOREIGN_SENDER;
	if (arp->operation != bpf_htons(ARPOP_REQUEST) ||
	    !is_on_the_host(skb, pod, arp->target_address))
		return DROP_SHIM_FOREIGN_ARP;
	return DROP_NONE;
}

static __always_inline enum drop_reason check_from_pod(struct __sk_buff *skb)
{
	if (skb->vlan_present)
		return DROP_SHIM_FOREIGN_SENDER;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return make_linear(skb, sizeof(struct arp_frame)) ? check_arp_from_pod(skb)
								  : DROP_SHIM_FOREIGN_SENDER;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return make_linear(skb, ETH_HLEN + IPV4_HEADER_LENGTH) ? check_ipv4_from_pod(skb)
								       : DROP_SHIM_FOREIGN_SENDER;
	return DROP_SHIM_FOREIGN_SENDER;
}

SEC("tc/ingress")
int from_shim(struct __sk_buff *skb)
{
	enum drop_reason drop = check_from_pod(skb);

	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_FROM_SHIM, drop);
	count_path(skb, PATH_MACVLAN_TO_STACK);
	return VERDICT_PASS;
}

/*
 * The stack tells a sender of a nearer gateway when a packet leaves by the device that it came by:
 * a pod's to a Service whose backend is a macvlan pod as well. The pod would then send to the
 * Service's address past kube-proxy.
 */
static __always_inline bool is_redirect(struct __sk_buff *skb, const struct iphdr *ip)
{
	const struct icmp_header *icmp;

	if (ip->protocol != IPPROTO_ICMP || ip->ihl != IPV4_HEADER_LENGTH / 4 ||
	    ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET))
		return false;
	icmp = packet_bytes(skb, ETH_HLEN + IPV4_HEADER_LENGTH, sizeof(*icmp));
	return icmp && icmp->type == ICMP_REDIRECT;
}

static __always_inline bool is_ipv4_to_pod(struct __sk_buff *skb)
{
	const struct iphdr *ip = packet_bytes(skb, ETH_HLEN, sizeof(*ip));
	const struct macvlan_pod *pod = ip ? find_pod(skb, ip->daddr) : NULL;
	const struct ethhdr *ethernet = packet_bytes(skb, 0, sizeof(*ethernet));

	return pod && ethernet && same_mac(ethernet->h_dest, pod->mac) && !is_redirect(skb, ip);
}

static __always_inline bool is_arp_reply_to_pod(struct __sk_buff *skb)
{
	const struct arp_frame *arp = packet_bytes(skb, 0, sizeof(*arp));
	const struct macvlan_pod *pod;

	if (!arp || !is_ethernet_ipv4(arp) || arp->operation != bpf_htons(ARPOP_REPLY))
		return false;
	pod = find_pod(skb, arp->target_address);
	return pod && same_mac(arp->ethernet.h_dest, pod->mac) &&
	       same_mac(arp->target_mac, pod->mac) && is_on_the_host(skb, pod, arp->sender_address);
}

static __always_inline bool is_for_pod(struct __sk_buff *skb)
{
	if (skb->vlan_present)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return make_linear(skb, sizeof(struct arp_frame)) && is_arp_reply_to_pod(skb);
	return skb->protocol == bpf_htons(ETH_P_IP) &&
	       make_linear(skb, ETH_HLEN + IPV4_HEADER_LENGTH + sizeof(struct icmp_header)) &&
	       is_ipv4_to_pod(skb);
}

SEC("tc/egress")
int to_shim(struct __sk_buff *skb)
{
	if (!is_for_pod(skb))
		return drop_packet(skb, DIRECTION_TO_SHIM, DROP_SHIM_NOT_TO_POD);
	count_path(skb, PATH_STACK_TO_MACVLAN);
	return VERDICT_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
