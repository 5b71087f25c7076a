// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The overlay device, an `external` VXLAN device or, as long as that has the port, flannel's: the
 * way of the host's own traffic and of everything that the fast path hands over. Inner packets pass
 * here without outer headers, which the device writes and reads by the tunnel key.
 *
 *   to_overlay    egress: what the host sends or forwards to other nodes; sets the key
 *   from_overlay  ingress: what came in by VXLAN on any interface, with any VNI; checks the key
 */
#include "bpf/lib/deliver.h"
#include "bpf/lib/ecn.h"
#include "bpf/lib/nat_in.h"
#include "bpf/lib/nat_macvlan.h"
#include "bpf/lib/nat_out.h"
#include "bpf/lib/route.h"

/* Size of struct bpf_tunnel_key before local_ipv4 joined it (Linux 6.0). */
#define TUNNEL_KEY_OLD_SIZE offsetof(struct bpf_tunnel_key, local_ipv4)

static __always_inline bool write_tunnel_key(struct __sk_buff *skb, const struct node_route *route)
{
	struct bpf_tunnel_key key = {
	    .tunnel_id = config.vni,
	    .remote_ipv4 = bpf_ntohl(route->vtep),
	    .local_ipv4 = bpf_ntohl(config.node_address),
	    .tunnel_ttl = 64,
	};

	/* An old kernel refuses the key with a source and takes the address that its routes prefer.
	 */
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX) == 0 ||
	       bpf_skb_set_tunnel_key(skb, &key, TUNNEL_KEY_OLD_SIZE, BPF_F_ZERO_CSUM_TX) == 0;
}

/* What a pod sent still carries the pod's MAC, or the underlay's, as its source. */
static __always_inline bool write_vtep_macs(struct __sk_buff *skb, const struct node_route *route)
{
	__u8 own[ETH_ALEN];

#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		own[i] = config.vtep_mac[i];
	return write_macs(skb, route->vtep_mac, own);
}

/* The stack forwarded or translated a packet of one of this node's pods: who owns the flow from now
 * on? */
static __always_inline void learn_leaving_flow(const struct packet *packet)
{
	struct flow_key sender = flow_key_from_pod(packet);

	if (has_passed_us(bpf_map_lookup_elem(&pods_by_ipv4, &packet->source)))
		learn_from_stack(packet, &sender, FLOW_PENDING_FROM_POD);
}

static __always_inline int leave_from_macvlan(struct __sk_buff *skb, const struct packet *packet)
{
	enum drop_reason drop = nat_translate_macvlan(skb, packet, config.overlay_address);

	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_TO_OVERLAY, drop);
	count_path(skb, PATH_MACVLAN_TO_NODE);
	return VERDICT_PASS;
}

/* What the stack sends. The host's own packets have the address that macvlan pods are translated
 * to: they get no tuple of a pod's. */
static __always_inline int leave_stack(struct __sk_buff *skb, const struct packet *packet)
{
	bool is_hosts = packet->source == config.overlay_address;

	if (!is_hosts && find_macvlan_pod(packet->source))
		return leave_from_macvlan(skb, packet);
	count_path(skb, PATH_HOST_TO_OVERLAY);
	learn_leaving_flow(packet);
	return config.nat.macvlan && is_hosts ? nat_check_host(skb) : VERDICT_PASS;
}

SEC("tc/egress")
int to_overlay(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct destination destination;
	enum drop_reason drop;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop_packet(skb, DIRECTION_TO_OVERLAY, DROP_UNSUPPORTED_ETHERTYPE);
	if (!pull_ipv4(skb, ETH_HLEN))
		return drop_packet(skb, DIRECTION_TO_OVERLAY, DROP_TRUNCATED);
	drop = parse_ipv4(skb, ETH_HLEN, skb->len, &packet);
	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_TO_OVERLAY, drop);
	destination = find_destination(packet.destination);
	if (destination.kind != DESTINATION_NODE || !destination.node)
		return drop_packet(skb, DIRECTION_TO_OVERLAY, DROP_NO_POD_ROUTE);

	if (skb->mark != MARK_FAST_PATH && leave_stack(skb, &packet) != VERDICT_PASS)
		return VERDICT_DROP;
	/* kube-proxy's mark would have the outer packet masqueraded (flannel#1279). */
	skb->mark = 0;
	if (!write_tunnel_key(skb, destination.node))
		return drop_packet(skb, DIRECTION_TO_OVERLAY, DROP_TUNNEL_KEY_FAILED);
	if (!write_vtep_macs(skb, destination.node))
		return drop_packet(skb, DIRECTION_TO_OVERLAY, DROP_PACKET_WRITE_FAILED);
	return VERDICT_PASS;
}

static __always_inline enum drop_reason check_tunnel_key(struct __sk_buff *skb,
							 const struct packet *packet)
{
	struct bpf_tunnel_key key = {};

	/* flannel's device, which is borrowed: it has checked the VNI, and says nothing of the
	 * outer source. What is external always has a key. */
	if (bpf_skb_get_tunnel_key(skb, &key, TUNNEL_KEY_OLD_SIZE, 0))
		return is_peer_address(packet->source) ? DROP_NONE : DROP_TUNNEL_KEY_FAILED;
	if (key.tunnel_id != config.vni)
		return DROP_WRONG_VNI;
	return check_tunnel_source(bpf_htonl(key.remote_ipv4), packet->source);
}

/* DROP_NONE: what answers a macvlan pod is the pod's again, and anything else as it was. */
static __always_inline enum drop_reason answer_macvlan(struct __sk_buff *skb,
						       const struct packet *packet)
{
	const struct nat_fragment *first;
	struct flow_key flow = {};
	__u64 now = bpf_ktime_get_ns();
	struct nat_entry *entry;

	if (!packet->has_flow) {
		first = nat_find_fragment(packet);
		if (!first)
			return DROP_NONE;
		return nat_rewrite_fragment(skb, NAT_END_DESTINATION, first->address)
			   ? DROP_NONE
			   : DROP_NAT_REWRITE_FAILED;
	}
	entry = nat_find_answered(packet, now, &flow);
	if (!entry)
		return DROP_NONE;
	nat_track_to_pod(&flow, entry, packet, now);
	if (entry->flags & NAT_FLAG_HOST && entry->nat_port == flow.pod_port)
		return DROP_NONE;
	nat_record_fragment(packet, flow.pod_address, entry->flags, now);
	count_path(skb, entry->flags & NAT_FLAG_HOST ? PATH_OUTSIDE_TO_HOST : PATH_NODE_TO_MACVLAN);
	return nat_rewrite_in(skb, packet, &flow, entry) ? DROP_NONE : DROP_NAT_REWRITE_FAILED;
}

static __always_inline int send_to_host(struct __sk_buff *skb, const struct packet *packet)
{
	struct destination destination = find_destination(packet->destination);
	enum drop_reason drop = DROP_NONE;

	/* The inner MAC is whatever the peer believes ours to be. */
	bpf_skb_change_type(skb, PACKET_HOST);
	if (destination.kind == DESTINATION_NOBODY)
		return refuse_packet(skb, DIRECTION_FROM_OVERLAY, DROP_NO_POD_ROUTE);
	count_path(skb, PATH_OVERLAY_TO_HOST);
	if (config.nat.macvlan && destination.kind == DESTINATION_THIS_NODE &&
	    nat_may_be_reply(skb))
		drop = answer_macvlan(skb, packet);
	return drop == DROP_NONE ? VERDICT_PASS : drop_packet(skb, DIRECTION_FROM_OVERLAY, drop);
}

SEC("tc/ingress")
int from_overlay(struct __sk_buff *skb)
{
	struct packet packet = {};
	const struct pod_endpoint *pod;
	enum handover_reason handover;
	enum drop_reason drop;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present ||
	    !pull_ipv4(skb, ETH_HLEN) || parse_ipv4(skb, ETH_HLEN, skb->len, &packet) != DROP_NONE)
		return drop_packet(skb, DIRECTION_FROM_OVERLAY, DROP_BAD_INNER_FRAME);
	drop = check_tunnel_key(skb, &packet);
	if (drop != DROP_NONE)
		return drop_packet(skb, DIRECTION_FROM_OVERLAY, drop);

	pod = bpf_map_lookup_elem(&pods_by_ipv4, &packet.destination);
	if (!pod)
		return send_to_host(skb, &packet);
	handover = check_delivery(&packet, pod);
	if (handover != HANDOVER_NONE) {
		bpf_skb_change_type(skb, PACKET_HOST);
		return hand_over(skb, DIRECTION_FROM_OVERLAY, handover);
	}
	/* The device has merged the outer ECN mark into the inner one already. */
	count_path(skb, PATH_OVERLAY_TO_POD);
	return deliver_to_pod(skb, DIRECTION_FROM_OVERLAY, pod, packet.tos);
}

char _license[] SEC("license") = "Dual BSD/GPL";
