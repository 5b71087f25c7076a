// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Ingress of the host side of a pod's veth pair: everything the pod sends.
 *
 *   ARP for the gateway          answered here
 *   to a pod of this node        redirected into that pod
 *   to another node or its pods  out of the underlay: encapsulated, or as it is to a direct peer
 *   to the outside               translated and sent, once known to be none of the stack's flows
 *   anything else                the host's stack
 */
#include "bpf/lib/arp.h"
#include "bpf/lib/deliver.h"
#include "bpf/lib/icmp.h"
#include "bpf/lib/nat_from_pod.h"
#include "bpf/lib/nat_macvlan.h"
#include "bpf/lib/route.h"
#include "bpf/lib/vxlan.h"

/* The sender, when the packet's source address and MAC are those of the pod behind this device. */
static __always_inline const struct pod_endpoint *find_sender(struct __sk_buff *skb, __be32 source)
{
	const struct pod_endpoint *pod = bpf_map_lookup_elem(&pods_by_ipv4, &source);
	const struct ethhdr *ethernet = packet_bytes(skb, 0, sizeof(*ethernet));

	if (!pod || !ethernet || pod->ifindex != skb->ifindex)
		return NULL;
	return same_mac(pod->mac, ethernet->h_source) ? pod : NULL;
}

/* Through the overlay device, for a kernel or a packet for which we cannot write the outer headers
 * ourselves. */
static __always_inline int encapsulate_by_device(struct __sk_buff *skb)
{
	skb->mark = MARK_FAST_PATH;
	return bpf_redirect(config.overlay_ifindex, 0);
}

/* Point of no return: from here on the packet is ours. */
static __always_inline int encapsulate(struct __sk_buff *skb, const struct packet *packet,
				       const struct node_route *route)
{
	__be16 source_port = vxlan_source_port(bpf_get_hash_recalc(skb));
	struct bpf_redir_neigh next_hop = {.nh_family = 2 /* AF_INET */,
					   .ipv4_nh = route->next_hop};

	count_path(skb, PATH_POD_TO_OVERLAY);
	if (!route_ipv4(skb, ETH_HLEN, packet->tos))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_PACKET_WRITE_FAILED);
	if (config.encapsulation == ENCAPSULATION_TUNNEL_DEVICE || !push_outer_headers(skb))
		return encapsulate_by_device(skb);
	if (!write_outer_headers(skb, route, source_port, ecn_encapsulated(packet->tos)))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_ENCAPSULATION_FAILED);
	skb->mark = 0;
	return bpf_redirect_neigh(route->ifindex, &next_hop, sizeof(next_hop), 0);
}

/*
 * To a peer on the same link, as it is. Point of no return. The mark tells the underlay's egress
 * hook that the stack has not seen the packet; it is taken off there.
 */
static __always_inline int send_directly(struct __sk_buff *skb, const struct packet *packet,
					 const struct node_route *route)
{
	struct bpf_redir_neigh next_hop = {.nh_family = 2 /* AF_INET */,
					   .ipv4_nh = route->next_hop};

	count_path(skb, PATH_POD_TO_DIRECT);
	if (!route_ipv4(skb, ETH_HLEN, packet->tos))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_PACKET_WRITE_FAILED);
	skb->mark = MARK_FAST_PATH;
	return bpf_redirect_neigh(route->ifindex, &next_hop, sizeof(next_hop), 0);
}

static __always_inline int send_to_node(struct __sk_buff *skb, const struct packet *packet,
					const struct node_route *route)
{
	enum handover_reason handover = check_forwardable(packet, route->mtu);

	/* The stack does not know: its route to a node's own address has the underlay's MTU. */
	if (handover == HANDOVER_TOO_BIG && route->path != NODE_PATH_UNREACHABLE &&
	    must_be_told(skb, packet))
		return refuse_too_big(skb, packet, route->mtu);
	if (handover != HANDOVER_NONE)
		return hand_over(skb, DIRECTION_FROM_POD, handover);
	if (route->path == NODE_PATH_UNREACHABLE)
		return hand_over(skb, DIRECTION_FROM_POD, HANDOVER_PEER_UNREACHABLE);
	if (!route->ifindex)
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_NO_UNDERLAY_ROUTE);
	if (route->path == NODE_PATH_DIRECT)
		return send_directly(skb, packet, route);
	return encapsulate(skb, packet, route);
}

static __always_inline int send_to_local_pod(struct __sk_buff *skb, const struct packet *packet,
					     const struct pod_endpoint *pod)
{
	enum handover_reason handover = check_forwardable(packet, pod->mtu);
	struct flow_key receiver = flow_key_to_pod(packet);

	if (handover != HANDOVER_NONE)
		return hand_over(skb, DIRECTION_FROM_POD, handover);
	/* The receiver has a key of its own for the flow; its replies must find it. */
	handover = check_flow(packet, &receiver, FLOW_PENDING_TO_POD);
	if (handover != HANDOVER_NONE)
		return hand_over(skb, DIRECTION_FROM_POD, handover);
	count_path(skb, PATH_POD_TO_LOCAL_POD);
	return deliver_to_pod(skb, DIRECTION_FROM_POD, pod, packet->tos);
}

/* Through the stack. The flow is awaited at the underlay, where the stack shows whether it
 * translated it. A SYN is awaited whatever became of the last connection with its tuple. */
static __always_inline int leave_to_stack(struct __sk_buff *skb, const struct packet *packet,
					  const struct flow_key *sender)
{
	enum handover_reason handover = HANDOVER_OUTSIDE;

	if (config.nat.enabled && packet->kind == PACKET_OPENING)
		set_awaited(sender, FLOW_PENDING_FROM_POD);
	else if (packet->has_flow && packet->kind != PACKET_ICMP_ERROR)
		await_flow(sender, FLOW_PENDING_FROM_POD);
	if (packet->has_options)
		handover = HANDOVER_IP_OPTIONS;
	else if (packet->is_fragment)
		handover = HANDOVER_FRAGMENT;
	return hand_over(skb, DIRECTION_FROM_POD, handover);
}

/* Through the stack, of a flow that has a translation: the gate goes by that, and asks only of a
 * SYN whether the stack translates the flow now. */
static __always_inline int leave_translated(struct __sk_buff *skb, const struct packet *packet,
					    const struct flow_key *sender,
					    enum handover_reason handover)
{
	if (nat_leaves_unwatched(skb, packet))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_NAT_UNKNOWN_DEVICE);
	if (packet->kind == PACKET_OPENING && packet->protocol == IPPROTO_TCP)
		set_awaited(sender, FLOW_PENDING_FROM_POD);
	return hand_over(skb, DIRECTION_FROM_POD, handover);
}

/* Through the stack, since there is no way past it, to be translated where it leaves. What is too
 * big is answered by the stack, and goes nowhere. */
static __always_inline int leave_to_gate(struct __sk_buff *skb, const struct packet *packet,
					 const struct flow_key *sender,
					 enum handover_reason handover)
{
	if (nat_leaves_unwatched(skb, packet))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_NAT_UNKNOWN_DEVICE);
	return handover == HANDOVER_TOO_BIG ? hand_over(skb, DIRECTION_FROM_POD, handover)
					    : leave_to_stack(skb, packet, sender);
}

/* A packet of a flow that has a translation: past the stack, unless it takes part in it. */
static __always_inline int send_translated(struct __sk_buff *skb, const struct packet *packet,
					   const struct flow_key *sender, struct nat_entry *entry,
					   __u64 now)
{
	struct nat_way way = {.length = packet->segment_length};
	enum handover_reason handover = HANDOVER_NONE;
	enum drop_reason drop;

	if (entry->flags & NAT_FLAG_STACK)
		handover = HANDOVER_OUTSIDE;
	else if (!nat_recall_way(entry, packet, now, &way))
		handover = nat_find_way_of(skb, packet, entry, now, &way);
	if (handover != HANDOVER_NONE)
		return leave_translated(skb, packet, sender, handover);
	drop = nat_revive(sender, packet, entry, now);
	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_FROM_POD, drop);
	nat_track_from_pod(sender, entry, packet, now);
	return nat_send(skb, packet, sender, entry, &way);
}

/* The first packet of a flow that may be translated at once. */
static __always_inline int open_translated(struct __sk_buff *skb, const struct packet *packet,
					   const struct flow_key *sender,
					   const struct pod_endpoint *pod)
{
	struct nat_request *request = nat_request_for(sender);
	struct nat_way way = {.length = packet->segment_length};
	enum handover_reason handover = nat_find_way(skb, packet, &way);

	if (!request)
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_NAT_TABLE_FULL);
	if (handover == HANDOVER_NONE)
		request->reply.nat_address = nat_address_for(pod->egress_address, way.ifindex);
	if (!request->reply.nat_address)
		return leave_to_gate(skb, packet, sender, handover);
	return nat_send_new(skb, packet, request, &way);
}

/*
 * The translation that the packet is to have, or NULL. One that lives holds until it is over, also
 * when the pod opts out or the destination becomes a node's address or one that is reached
 * untranslated meanwhile: the other end knows the flow by it.
 */
static __always_inline struct nat_entry *find_translation(const struct packet *packet,
							  const struct flow_key *sender,
							  const struct pod_endpoint *pod, __u64 now)
{
	struct nat_entry *entry;
	enum destination_kind kind;

	if (!config.nat.enabled || !nat_is_plain(packet))
		return NULL;
	entry = nat_find_own(packet, sender);
	if (!entry || likely(nat_is_alive(sender, entry, now)))
		return entry;
	kind = find_destination(packet->destination).kind;
	return kind == DESTINATION_OUTSIDE && nat_is_wanted(pod, kind) ? entry : NULL;
}

static __always_inline int leave_node(struct __sk_buff *skb, const struct packet *packet,
				      const struct flow_key *sender, const struct pod_endpoint *pod,
				      enum destination_kind kind)
{
	bool is_gated = kind == DESTINATION_OUTSIDE || kind == DESTINATION_LOCAL_SCOPE;

	/* A macvlan pod of this node is reached by the shim, and sees the pod as it is. */
	if (!config.nat.enabled || !is_gated || !nat_is_wanted(pod, kind) ||
	    find_macvlan_pod(packet->destination))
		return leave_to_stack(skb, packet, sender);
	if (kind == DESTINATION_OUTSIDE && nat_is_plain(packet) && nat_may_open(packet, sender))
		return open_translated(skb, packet, sender, pod);
	return leave_to_gate(skb, packet, sender, HANDOVER_OUTSIDE);
}

static __always_inline int forward_ipv4(struct __sk_buff *skb, const struct packet *packet,
					const struct pod_endpoint *pod)
{
	struct flow_key sender = flow_key_from_pod(packet);
	struct destination destination = find_in_pod_network(packet->destination);
	struct nat_entry *translation = NULL;
	enum handover_reason handover;
	__u64 now = 0;

	if (destination.kind == DESTINATION_OUTSIDE) {
		now = bpf_ktime_get_ns();
		translation = find_translation(packet, &sender, pod, now);
	}
	if (translation)
		return send_translated(skb, packet, &sender, translation, now);
	destination = find_further(packet->destination, destination);
	if (destination.kind == DESTINATION_THIS_NODE)
		return hand_over(skb, DIRECTION_FROM_POD, HANDOVER_NODE_ADDRESS);
	if (destination.kind == DESTINATION_NOBODY)
		return refuse_packet(skb, DIRECTION_FROM_POD, DROP_NO_POD_ROUTE);
	if (is_outside(destination.kind))
		return leave_node(skb, packet, &sender, pod, destination.kind);

	handover = check_flow(packet, &sender, FLOW_PENDING_FROM_POD);
	if (handover != HANDOVER_NONE)
		return hand_over(skb, DIRECTION_FROM_POD, handover);
	if (destination.pod)
		return send_to_local_pod(skb, packet, destination.pod);
	if (destination.node)
		return send_to_node(skb, packet, destination.node);
	return hand_over(skb, DIRECTION_FROM_POD, HANDOVER_OUTSIDE);
}

SEC("tc/ingress")
int from_pod(struct __sk_buff *skb)
{
	const struct pod_endpoint *pod;
	struct packet packet = {};
	enum drop_reason drop;

	/* A VLAN tag would be put on the outer frame: the pod would send into a VLAN of the
	 * underlay. */
	if (skb->vlan_present)
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_UNSUPPORTED_ETHERTYPE);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_UNSUPPORTED_ETHERTYPE);
	if (!pull_ipv4(skb, ETH_HLEN))
		return hand_over(skb, DIRECTION_FROM_POD, HANDOVER_PULL_FAILED);

	drop = parse_ipv4(skb, ETH_HLEN, skb->len, &packet);
	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_FROM_POD, drop);
	pod = find_sender(skb, packet.source);
	if (!pod)
		return drop_packet(skb, DIRECTION_FROM_POD, DROP_SPOOFED_SOURCE);
	return forward_ipv4(skb, &packet, pod);
}

char _license[] SEC("license") = "Dual BSD/GPL";
