// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Egress of the underlay and of every other device that packets can leave the node by. It is loaded
 * twice: for devices with an Ethernet header, and for those without one.
 *
 *   the fast path's              passed on; only its mark is taken off
 *   a shim's, at its master      passed on when it carries the host: its own hook has seen them
 *   the node's own               passed on, untouched; everything that is encapsulated among it
 *     with a pod's tuple         gets another port
 *   a pod's, out of the stack
 *     to a direct peer           passed on; a flow that leaves as it came is learned to be ours
 *     to any other node          sent into the overlay: it travels encapsulated
 *     to the outside             translated; passed on as it is where the configuration says so
 *   a macvlan pod's
 *     that it sends itself       passed on, untouched: the LAN's
 *     to a peer, out of the      translated to this node's address
 *     stack
 */
#include "bpf/lib/arp.h"
#include "bpf/lib/flow.h"
#include "bpf/lib/nat_macvlan.h"
#include "bpf/lib/nat_out.h"
#include "bpf/lib/rewrite.h"
#include "bpf/lib/route.h"

/* By far the most of what passes here. */
static __always_inline bool is_from_this_node(struct __sk_buff *skb)
{
	const struct iphdr *ip = packet_bytes(skb, link_header_length, sizeof(*ip));

	return ip && ip->saddr == config.node_address;
}

/* The overlay device takes frames; its hook writes the addresses. */
static __always_inline bool add_ethernet_header(struct __sk_buff *skb)
{
	struct ethhdr *ethernet;

	if (bpf_skb_change_head(skb, ETH_HLEN, 0))
		return false;
	ethernet = packet_bytes(skb, 0, sizeof(*ethernet));
	if (!ethernet)
		return false;
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	return true;
}

/*
 * The stack knows another node's address on the underlay and sends there what it forwards for a
 * pod: fragments, the rest of a flow, what kube-proxy translated to a pod in the host's network.
 */
static __always_inline int send_by_overlay(struct __sk_buff *skb)
{
	count_path(skb, PATH_STACK_TO_OVERLAY);
	if (!link_header_length && !add_ethernet_header(skb))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_PACKET_WRITE_FAILED);
	return bpf_redirect(config.overlay_ifindex, 0);
}

/* What the stack forwards to a node or its pods goes the way that our own packets to it go. */
static __always_inline int send_to_node(struct __sk_buff *skb, const struct packet *packet,
					const struct pod_endpoint *pod,
					const struct node_route *node)
{
	struct flow_key sender = flow_key_from_pod(packet);

	if (node->path == NODE_PATH_UNREACHABLE)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_PEER_UNREACHABLE);
	if (node->path != NODE_PATH_DIRECT)
		return send_by_overlay(skb);
	count_path(skb, PATH_STACK_TO_DIRECT);
	if (has_passed_us(pod))
		learn_from_stack(packet, &sender, FLOW_PENDING_FROM_POD);
	return VERDICT_PASS;
}

/*
 * The tuple that the pod sent is on record as undecided, and stays so: what leaves for the outside
 * goes through the stack. Any other tuple is one that the stack made.
 */
static __always_inline void learn_translated(const struct packet *packet)
{
	struct flow_key sender = flow_key_from_pod(packet);

	if (packet->has_flow && packet->kind != PACKET_ICMP_ERROR &&
	    !bpf_map_lookup_elem(&flow_owners, &sender))
		set_owner(&sender, FLOW_OWNER_STACK);
}

/* What cannot be read is none of ours, unless a pod's address stands in it. */
static __always_inline int refuse_unread(struct __sk_buff *skb, enum drop_reason reason)
{
	const struct iphdr *ip = packet_bytes(skb, link_header_length, sizeof(*ip));
	__be32 source;

	if (!config.nat.enabled || !ip)
		return VERDICT_PASS;
	source = ip->saddr;
	return bpf_map_lookup_elem(&pods_by_ipv4, &source)
		   ? drop_packet(skb, DIRECTION_TO_UNDERLAY, reason)
		   : VERDICT_PASS;
}

/* Of the devices that are taken for having no link-layer header: whether this one puts its packets
 * behind one, where we cannot translate them. */
static __always_inline bool has_foreign_header(struct __sk_buff *skb)
{
	const struct iphdr *ip;
	struct iphdr there;

	if (link_header_length)
		return false;
	if (bpf_skb_load_bytes_relative(skb, 0, &there, sizeof(there), BPF_HDR_START_NET))
		return true;
	ip = packet_bytes(skb, 0, sizeof(*ip));
	return !ip || ip->version != there.version || ip->check != there.check ||
	       ip->saddr != there.saddr || ip->daddr != there.daddr;
}

static __always_inline int refuse_foreign_header(struct __sk_buff *skb)
{
	const struct pod_endpoint *pod;
	__be32 source;

	if (!config.nat.enabled ||
	    bpf_skb_load_bytes_relative(skb, offsetof(struct iphdr, saddr), &source, sizeof(source),
					BPF_HDR_START_NET))
		return VERDICT_PASS;
	pod = bpf_map_lookup_elem(&pods_by_ipv4, &source);
	if (!pod || pod->flags & POD_FLAG_NO_SNAT)
		return VERDICT_PASS;
	return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_UNSUPPORTED_DEVICE);
}

/* The pod's own frame on its way to the LAN: the stack's carries the device's MAC. */
static __always_inline bool is_sent_by(struct __sk_buff *skb, const struct macvlan_pod *pod)
{
	const struct ethhdr *ethernet = packet_bytes(skb, 0, sizeof(*ethernet));

	if (link_header_length && ethernet && same_mac(ethernet->h_source, pod->mac))
		return true;
	return nat_is_foreign_frame(skb, nat_find_device(skb->ifindex));
}

static __always_inline int leave_from_macvlan(struct __sk_buff *skb, const struct packet *packet,
					      const struct macvlan_pod *pod)
{
	struct destination destination = find_destination(packet->destination);
	enum drop_reason drop;

	if (is_sent_by(skb, pod) || destination.kind != DESTINATION_NODE || !destination.node)
		return VERDICT_PASS;
	if (destination.node->path == NODE_PATH_UNREACHABLE)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_PEER_UNREACHABLE);
	if (destination.node->path != NODE_PATH_DIRECT)
		return send_by_overlay(skb);
	drop = nat_translate_macvlan(skb, packet, config.node_address);
	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, drop);
	count_path(skb, PATH_MACVLAN_TO_NODE);
	return VERDICT_PASS;
}

/*
 * A shim sends through its master what is for no macvlan of this node. In the place of its master
 * it carries the host: its packets have passed its own hook. Beside it, it has nothing to say to
 * the LAN: that is for a pod whose macvlan is gone.
 */
static __always_inline const struct nat_device *find_sending_shim(struct __sk_buff *skb)
{
	const struct ethhdr *ethernet;
	const struct nat_device *device;

	if (!config.nat.macvlan || !link_header_length)
		return NULL;
	device = nat_find_device(skb->ifindex);
	ethernet = packet_bytes(skb, 0, sizeof(*ethernet));
	return device && ethernet && same_mac(ethernet->h_source, device->shim_mac) ? device : NULL;
}

static __always_inline int leave_by_shim(struct __sk_buff *skb, const struct nat_device *device)
{
	return device->flags & NAT_DEVICE_HOST_ABOVE
		   ? VERDICT_PASS
		   : drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_SHIM_NOT_TO_POD);
}

/* A source of this node's podCIDR that no pod of ours has: of a pod that is gone, or of one that is
 * flannel's still. There is nothing to translate it by. */
static __always_inline int leave_from_unknown_pod(struct __sk_buff *skb,
						  const struct packet *packet)
{
	struct destination destination = find_destination(packet->destination);

	if (destination.kind == DESTINATION_NODE && destination.node)
		return send_to_node(skb, packet, NULL, destination.node);
	return destination.kind == DESTINATION_UNTRANSLATED
		   ? VERDICT_PASS
		   : drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_NO_POD);
}

static __always_inline int leave_without_pod(struct __sk_buff *skb, const struct packet *packet)
{
	__be32 source = packet->source;
	const struct macvlan_pod *macvlan = find_macvlan_pod(source);
	const struct node_route *node;

	if (macvlan)
		return leave_from_macvlan(skb, packet, macvlan);
	node = find_pod_cidr(source);
	if (config.nat.enabled && node && node->path == NODE_PATH_LOCAL &&
	    source != config.overlay_address)
		return leave_from_unknown_pod(skb, packet);
	return nat_check_host(skb);
}

/* By a shim that carries the host: they see each other as they are. Any other device leads to the
 * LAN, where the shim is gone for the moment. */
static __always_inline bool is_for_macvlan_pod(const struct __sk_buff *skb,
					       const struct packet *packet)
{
	const struct macvlan_pod *pod = find_macvlan_pod(packet->destination);

	return pod && pod->ifindex == skb->ifindex;
}

static __always_inline int leave_node(struct __sk_buff *skb, const struct packet *packet,
				      const struct pod_endpoint *pod, enum destination_kind kind)
{
	if (config.nat.enabled && kind == DESTINATION_NOBODY)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NO_POD_ROUTE);
	if (is_for_macvlan_pod(skb, packet))
		return VERDICT_PASS;
	if (config.nat.enabled && (nat_is_wanted(pod, kind) || nat_is_kept(packet)))
		return nat_leave(skb, packet, pod, kind);
	learn_translated(packet);
	return VERDICT_PASS;
}

SEC("tc/egress")
int to_underlay(struct __sk_buff *skb)
{
	const struct nat_device *shim_master;
	const struct pod_endpoint *pod;
	struct packet packet = {};
	struct destination destination;
	enum drop_reason drop;

	if (skb->mark == MARK_FAST_PATH) {
		skb->mark = 0;
		return VERDICT_PASS;
	}
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return VERDICT_PASS;
	shim_master = find_sending_shim(skb);
	if (shim_master)
		return leave_by_shim(skb, shim_master);
	if (has_foreign_header(skb))
		return refuse_foreign_header(skb);
	if (is_from_this_node(skb))
		return nat_check_host(skb);
	if (!pull_ipv4(skb, link_header_length))
		return refuse_unread(skb, DROP_TRUNCATED);
	drop = parse_ipv4(skb, link_header_length, skb->len, &packet);
	if (drop != DROP_NONE)
		return refuse_unread(skb, drop);
	pod = bpf_map_lookup_elem(&pods_by_ipv4, &packet.source);
	if (!pod)
		return leave_without_pod(skb, &packet);
	if (nat_is_forged(skb))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_SPOOFED_SOURCE);

	destination = find_destination(packet.destination);
	if (destination.kind == DESTINATION_NODE && destination.node)
		return send_to_node(skb, &packet, pod, destination.node);
	return leave_node(skb, &packet, pod, destination.kind);
}

char _license[] SEC("license") = "Dual BSD/GPL";
