// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Ingress of the underlay device: what the other nodes send.
 *
 *   VXLAN on our port
 *     not what a node may send   dropped
 *     for a pod of this node     decapsulated and redirected into the pod
 *     for the host, or slow      passed on: the overlay device takes it (tc_overlay.bpf.c checks
 *                                it again)
 *   from a peer to a pod here    redirected into the pod, whichever path we take to that peer
 *   to a translated flow         translated back and redirected into the pod, or passed on where
 *                                the stack translates it as well
 *   anything else                passed on, untouched
 */
#include "bpf/lib/deliver.h"
#include "bpf/lib/ecn.h"
#include "bpf/lib/nat_in.h"
#include "bpf/lib/outer_room.h"
#include "bpf/lib/tunnel.h"

/* A segment of this size is one of many, unless the sender says that it ends a message. */
#define BULK_SEGMENT_MIN 1000 /* bytes of IPv4 */
/* So many of them in a row are a bulk transfer. */
#define UNMERGED_BULK_MIN 16

/*
 * Where the underlay device does not merge segments (GRO is off) a bulk transfer is the better off
 * for the overlay device, which does. Small messages are not. Once decided all packets of the flow
 * go that way, so that they stay in order, until a merged one shows that the underlay merges again.
 */
static __always_inline bool is_unmerged_bulk(struct __sk_buff *skb, const struct flow_entry *flow)
{
	return flow && flow->unmerged >= UNMERGED_BULK_MIN && !skb->gso_size;
}

static __always_inline void learn_merging(struct __sk_buff *skb, const struct packet *inner,
					  struct flow_entry *flow)
{
	__u8 unmerged = flow->unmerged;

	if (skb->gso_size)
		unmerged = 0;
	else if (inner->total_length >= BULK_SEGMENT_MIN)
		unmerged = inner->pushes ? 0 : unmerged + 1;
	/* Not written without need: the other CPUs read it. */
	if (unmerged != flow->unmerged)
		flow->unmerged = unmerged;
}

/* The flow that an inner TCP segment belongs to, or NULL. Nothing is checked yet. */
static __always_inline struct flow_entry *find_tcp_flow(struct __sk_buff *skb)
{
	const struct iphdr *ip = packet_bytes(skb, VXLAN_INNER_IPV4, sizeof(*ip));
	struct flow_key key = {.protocol = IPPROTO_TCP};
	const __be16 *ports;

	if (!ip || ip->protocol != IPPROTO_TCP || ip->ihl != IPV4_HEADER_LENGTH / 4 ||
	    (ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET | IPV4_MORE_FRAGMENTS)))
		return NULL;
	ports = packet_bytes(skb, VXLAN_INNER_IPV4 + IPV4_HEADER_LENGTH, 2 * sizeof(*ports));
	if (!ports)
		return NULL;
	key.pod_address = ip->daddr;
	key.remote_address = ip->saddr;
	key.pod_port = ports[1];
	key.remote_port = ports[0];
	return bpf_map_lookup_elem(&flow_owners, &key);
}

static __always_inline enum handover_reason
check_received_flow(struct __sk_buff *skb, const struct packet *inner, struct flow_entry *flow)
{
	struct flow_key receiver = flow_key_to_pod(inner);

	if (!flow || flow->owner != FLOW_OWNER_FAST)
		return check_flow(inner, &receiver, FLOW_PENDING_TO_POD);
	learn_merging(skb, inner, flow);
	return HANDOVER_NONE;
}

/* Why the packet takes the way over the overlay device, or HANDOVER_NONE. */
static __always_inline enum handover_reason check_fast_path(struct __sk_buff *skb,
							    const struct packet *inner,
							    const struct pod_endpoint *pod,
							    struct flow_entry *flow)
{
	enum handover_reason handover;

	if (!pod)
		return HANDOVER_OVERLAY_HOST;
	handover = check_forwardable(inner, pod->mtu);
	return handover != HANDOVER_NONE ? handover : check_received_flow(skb, inner, flow);
}

/*
 * Point of no return: from here on the packet is ours. An outer UDP checksum (flannel's devices
 * write one) goes unverified, as RFC 7348 section 5 allows: the pod verifies its own. What the card
 * says of the outermost checksum must not be taken for the inner one.
 */
static __always_inline int decapsulate(struct __sk_buff *skb, const struct tunnel *tunnel,
				       const struct pod_endpoint *pod, __u8 tos)
{
	count_path(skb, PATH_OVERLAY_TO_POD);
	if (tunnel->has_checksum)
		bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	if (!pop_outer_headers(skb))
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, DROP_DECAPSULATION_FAILED);
	return deliver_to_pod(skb, DIRECTION_FROM_UNDERLAY, pod, tos);
}

static __always_inline int receive_tunnelled(struct __sk_buff *skb)
{
	struct tunnel tunnel = {};
	struct packet inner = {};
	const struct pod_endpoint *pod;
	struct flow_entry *flow;
	enum handover_reason handover;
	enum drop_reason drop;
	__u8 tos;

	if (!pull_ipv4(skb, VXLAN_INNER_IPV4))
		return VERDICT_PASS;
	flow = find_tcp_flow(skb);
	if (is_unmerged_bulk(skb, flow)) {
		count_path(skb, PATH_BULK_TO_OVERLAY_DEVICE);
		return VERDICT_PASS;
	}

	drop = check_tunnelled(skb, &tunnel, &inner);
	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, drop);

	pod = bpf_map_lookup_elem(&pods_by_ipv4, &inner.destination);
	handover = check_fast_path(skb, &inner, pod, flow);
	if (handover != HANDOVER_NONE)
		return hand_over(skb, DIRECTION_FROM_UNDERLAY, handover);
	if (!ecn_decapsulated(tunnel.tos, inner.tos, &tos))
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, DROP_ECN_CONGESTED);
	return decapsulate(skb, &tunnel, pod, tos);
}

/* The pod of this node that a peer sent the packet to as it is, or NULL: it is none of ours. */
static __always_inline const struct pod_endpoint *find_direct_receiver(struct __sk_buff *skb)
{
	const struct iphdr *ip = packet_bytes(skb, ETH_HLEN, sizeof(*ip));
	const struct pod_endpoint *pod;
	__be32 source, destination;

	if (!ip || ip->daddr == config.node_address)
		return NULL;
	source = ip->saddr;
	destination = ip->daddr;
	pod = bpf_map_lookup_elem(&pods_by_ipv4, &destination);
	return pod && is_peer_address(source) ? pod : NULL;
}

/*
 * The peer decides how it sends, we how we do: it may hold us for adjacent before we hold it. What
 * it sends must come by here in either case, so that the flow has one owner.
 */
static __always_inline int receive_plain(struct __sk_buff *skb)
{
	const struct pod_endpoint *pod = find_direct_receiver(skb);
	struct packet packet = {};
	enum handover_reason handover;
	enum drop_reason drop;

	if (!pod)
		return nat_receive(skb);
	if (!pull_ipv4(skb, ETH_HLEN))
		return hand_over(skb, DIRECTION_FROM_UNDERLAY, HANDOVER_PULL_FAILED);
	drop = parse_ipv4(skb, ETH_HLEN, skb->len, &packet);
	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_FROM_UNDERLAY, drop);
	handover = check_delivery(&packet, pod);
	if (handover != HANDOVER_NONE)
		return hand_over(skb, DIRECTION_FROM_UNDERLAY, handover);
	count_path(skb, PATH_DIRECT_TO_POD);
	return deliver_to_pod(skb, DIRECTION_FROM_UNDERLAY, pod, packet.tos);
}

SEC("tc/ingress")
int from_underlay(struct __sk_buff *skb)
{
	/* A frame with a VLAN tag is for the VLAN's own device. */
	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST ||
	    skb->vlan_present)
		return VERDICT_PASS;
	if (!make_linear(skb, OUTER_PORTS_LENGTH))
		return VERDICT_PASS;
	return classify_outer(skb) == OUTER_VXLAN ? receive_tunnelled(skb) : receive_plain(skb);
}

char _license[] SEC("license") = "Dual BSD/GPL";
