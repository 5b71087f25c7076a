/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_OUT_H
#define PODLANE_BPF_NAT_OUT_H

#include "bpf/lib/arp.h"
#include "bpf/lib/host.h"
#include "bpf/lib/nat.h"
#include "bpf/lib/nat_ports.h"

/* At the egress of the underlay and the other uplinks: what comes out of the stack for the outside.
 * Nothing passes with a pod's address. */

/*
 * Leaves with the tuple that the pod sent: the stack has nothing to do with the flow, and need not
 * see it any more. With any other: the stack translated it, and must see the replies.
 */
static __always_inline __u8 nat_flags_by_owner(const struct flow_key *flow)
{
	const struct flow_entry *known = bpf_map_lookup_elem(&flow_owners, flow);

	if (known && known->owner == FLOW_OWNER_UNDECIDED &&
	    (known->pending & FLOW_PENDING_FROM_POD))
		return 0;
	if (!known)
		set_owner(flow, FLOW_OWNER_STACK);
	return NAT_FLAG_STACK;
}

/*
 * The flow has its translation: what was on record of the pod's packet vouches for no other. The
 * pod may use the port again later for a Service whose backend is the same address.
 */
static __always_inline void nat_use_up_awaited(const struct flow_key *flow)
{
	struct flow_entry *known = bpf_map_lookup_elem(&flow_owners, flow);

	if (known)
		known->pending &= ~FLOW_PENDING_FROM_POD;
}

/* A SYN on a flow that was the pod's alone: by now it may be the stack that gave it that tuple. */
static __always_inline void nat_open_again(const struct packet *packet, const struct flow_key *flow,
					   struct nat_entry *entry)
{
	if (packet->flow.protocol != IPPROTO_TCP || packet->kind != PACKET_OPENING || entry->flags)
		return;
	entry->flags = nat_flags_by_owner(flow);
	if (!entry->flags)
		nat_use_up_awaited(flow);
}

static __always_inline enum drop_reason nat_open_leaving(struct __sk_buff *skb,
							 const struct packet *packet,
							 const struct pod_endpoint *pod,
							 struct nat_request *request)
{
	enum drop_reason drop = nat_check_opening(packet);

	if (drop != DROP_NONE)
		return drop;
	request->reply.nat_address = nat_address_for(pod->egress_address, skb->ifindex);
	if (!request->reply.nat_address)
		return DROP_NAT_NO_ADDRESS;
	request->flags = nat_flags_by_owner(&request->flow);
	drop = nat_claim_tuple();
	if (drop == DROP_NONE && !request->flags)
		nat_use_up_awaited(&request->flow);
	return drop;
}

static __always_inline int nat_leave_fragment(struct __sk_buff *skb, const struct packet *packet)
{
	const struct nat_fragment *first = nat_find_fragment(packet);

	if (!first)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_FRAGMENT);
	count_path(skb, PATH_STACK_TO_OUTSIDE);
	if (!nat_rewrite_fragment(skb, NAT_END_SOURCE, first->address))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return VERDICT_PASS;
}

static __always_inline int nat_leave_flow(struct __sk_buff *skb, const struct packet *packet,
					  const struct pod_endpoint *pod)
{
	struct flow_key flow = flow_key_from_pod(packet);
	struct nat_request *request = nat_request_for(&flow);
	struct nat_entry *entry = nat_find_own(packet, &flow);
	enum drop_reason drop;

	if (!request)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_TABLE_FULL);
	if (entry) {
		drop = nat_revive(&flow, packet, entry, request->now);
		if (drop == DROP_NONE)
			nat_open_again(packet, &flow, entry);
	} else {
		drop = nat_open_leaving(skb, packet, pod, request);
		entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	}
	if (drop == DROP_NONE && !entry)
		drop = DROP_NAT_CLAIM_LOST;
	if (drop != DROP_NONE || !entry)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, drop);
	nat_track_from_pod(&flow, entry, packet, request->now);
	nat_record_fragment(packet, entry->nat_address, entry->flags, request->now);
	count_path(skb, PATH_STACK_TO_OUTSIDE);
	if (!nat_rewrite_out(skb, packet, &flow, entry))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return VERDICT_PASS;
}

/* A pod's packet to the outside. */
static __always_inline int nat_leave(struct __sk_buff *skb, const struct packet *packet,
				     const struct pod_endpoint *pod, enum destination_kind kind)
{
	if (kind == DESTINATION_LOCAL_SCOPE && !nat_is_kept(packet))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_LOCAL_SCOPE);
	if (packet->has_options)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_IP_OPTIONS);
	if (!packet->has_flow)
		return nat_leave_fragment(skb, packet);
	return nat_leave_flow(skb, packet, pod);
}

/* Whether a frame of the host's own may carry a port of ours, or quote one: a look at two fields,
 * and at most at one byte of a table. */
static __always_inline bool nat_may_collide(struct __sk_buff *skb)
{
	const struct iphdr *ip;
	const __be16 *ports;
	__u8 icmp_type;

	if (!make_linear(skb, NAT_TRANSPORT + 3 * sizeof(__be16)))
		return false;
	ip = packet_bytes(skb, link_header_length, sizeof(*ip) + 3 * sizeof(__be16));
	if (!ip || ip->ihl != IPV4_HEADER_LENGTH / 4)
		return false;
	ports = (const __be16 *)(ip + 1);
	if (ip->protocol == IPPROTO_TCP)
		return nat_may_have(ports[0]);
	if (ip->protocol == IPPROTO_UDP) /* what we encapsulate has any source port */
		return ports[1] != config.overlay_port && nat_may_have(ports[0]);
	icmp_type = *(const __u8 *)ports;
	if (ip->protocol == IPPROTO_ICMP)
		return icmp_type == ICMP_ECHO || icmp_type == ICMP_ECHOREPLY
			   ? nat_may_have(ports[2])
			   : is_icmp_error(icmp_type);
	return ip->protocol == IPPROTO_SCTP; /* pods keep their ports, whichever they are */
}

/* The host goes on when the table has no room for it, unless a pod has the very tuple. */
static __always_inline int nat_refuse_host(struct __sk_buff *skb, struct nat_request *request,
					   enum drop_reason drop)
{
	const struct nat_claim *claim;

	request->reply.nat_address = request->flow.pod_address;
	request->reply.nat_port = request->flow.pod_port;
	claim = bpf_map_lookup_elem(&nat_by_reply, &request->reply);
	if (!claim || same_flow(&claim->flow, &request->flow))
		return VERDICT_PASS;
	return drop_packet(skb, DIRECTION_TO_UNDERLAY, drop);
}

/* Whether a flow of a pod's leaves the node by the very tuple. */
static __always_inline bool nat_is_pods_tuple(const struct flow_key *flow, __u64 now)
{
	struct nat_reply_key reply = nat_reply_of(flow);
	const struct nat_claim *claim;
	const struct nat_entry *entry;
	struct flow_key holder;

	reply.nat_address = flow->pod_address;
	reply.nat_port = flow->pod_port;
	claim = bpf_map_lookup_elem(&nat_by_reply, &reply);
	if (!claim)
		return false;
	holder = claim->flow;
	entry = bpf_map_lookup_elem(&nat_by_flow, &holder);
	return entry && !(entry->flags & NAT_FLAG_HOST) && nat_leads_to(entry, &reply) &&
	       nat_is_alive(&holder, entry, now);
}

static __always_inline bool has_mac(const struct nat_device *device)
{
	static const __u8 none[ETH_ALEN] = {};

	return !same_mac(device->mac, none);
}

/* Whether another than the stack put the frame onto a macvlan network's master: a macvlan on it.
 * Its source is the sender's word. */
static __always_inline bool nat_is_foreign_frame(struct __sk_buff *skb,
						 const struct nat_device *device)
{
	const struct ethhdr *ethernet = packet_bytes(skb, 0, sizeof(*ethernet));

	return link_header_length && device && ethernet && has_mac(device) &&
	       !same_mac(ethernet->h_source, device->mac);
}

/* What stands on the device (a macvlan) has a hook of its own, and the packet has passed it: its
 * port may be one that was claimed there, also with the device's own address. */
static __always_inline bool nat_came_from_upper_device(struct __sk_buff *skb,
						       const struct nat_request *request)
{
	const struct nat_device *device = nat_find_device(skb->ifindex);

	if (nat_is_foreign_frame(skb, device))
		return true;
	if (!device || !(device->flags & NAT_DEVICE_SHARED))
		return false;
	return !(device->flags & NAT_DEVICE_OWN) || device->address != request->flow.pod_address ||
	       nat_is_pods_tuple(&request->flow, request->now);
}

/* A pod's address in a frame that no program of ours has passed: forged by a macvlan container. */
static __always_inline bool nat_is_forged(struct __sk_buff *skb)
{
	const struct nat_device *device = nat_find_device(skb->ifindex);

	return device && !(device->flags & NAT_DEVICE_SHARED) && !skb->vlan_present &&
	       nat_is_foreign_frame(skb, device);
}

/* Of what is forwarded for others no pod can get the tuple, and they could fill the table. */
static __always_inline bool nat_is_host_address(struct __sk_buff *skb, __be32 address)
{
	return address == config.node_address || is_hosts_address(skb, address);
}

/*
 * A packet of the host's own with a source port of the range. It claims its tuple like a pod does,
 * so that no pod gets it, and takes another port where a pod has it already.
 */
static __always_inline int nat_leave_host(struct __sk_buff *skb, const struct packet *packet)
{
	struct flow_key flow = flow_key_from_pod(packet);
	struct nat_request *request = nat_request_for(&flow);
	struct nat_entry *entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	enum drop_reason drop = DROP_NONE;

	if (!request)
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_TABLE_FULL);
	if (nat_came_from_upper_device(skb, request))
		return VERDICT_PASS;
	if (entry) {
		drop = nat_revive(&flow, packet, entry, request->now);
	} else if (nat_check_opening(packet) == DROP_NAT_UNSUPPORTED_PROTOCOL ||
		   !nat_is_host_address(skb, packet->source)) {
		return VERDICT_PASS;
	} else if (packet->tcp_flags & TCP_RST) {
		/* Whoever scans our ports would fill the host's share of the table. */
		return nat_refuse_host(skb, request, DROP_NAT_NOT_OPENED);
	} else {
		request->flags = NAT_FLAG_HOST;
		request->reply.nat_address = packet->source;
		drop = nat_claim_tuple();
		entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	}
	if (drop != DROP_NONE || !entry)
		return nat_refuse_host(skb, request,
				       drop != DROP_NONE ? drop : DROP_NAT_CLAIM_LOST);
	nat_track_from_pod(&flow, entry, packet, request->now);
	if (entry->nat_port == flow.pod_port)
		return VERDICT_PASS;
	count_path(skb, PATH_HOST_TO_OUTSIDE);
	if (!nat_rewrite_out(skb, packet, &flow, entry))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return VERDICT_PASS;
}

/* An error of the host's own about what it forwarded to a pod after it was translated back: it
 * quotes the pod's end, of which the remote knows nothing. */
static __always_inline int nat_leave_error(struct __sk_buff *skb, const struct packet *packet)
{
	struct flow_key flow = flow_key_from_pod(packet);
	const struct nat_entry *entry = bpf_map_lookup_elem(&nat_by_flow, &flow);
	struct nat_change change;

	if (!entry)
		return VERDICT_PASS;
	change = nat_change_out(&flow, entry);
	if (change.old_address == change.new_address && change.old_port == change.new_port)
		return VERDICT_PASS;
	count_path(skb, PATH_HOST_TO_OUTSIDE);
	if (!nat_rewrite_quotation(skb, packet, NAT_END_SOURCE, &change))
		return drop_packet(skb, DIRECTION_TO_UNDERLAY, DROP_NAT_REWRITE_FAILED);
	return VERDICT_PASS;
}

/* A packet that no pod sent. Of a datagram in fragments the first alone has a port to change. */
static __always_inline int nat_check_host(struct __sk_buff *skb)
{
	struct packet packet = {};

	/* What has a VLAN tag has passed the hook of the VLAN's own device. */
	if (!nat_is_used() || skb->vlan_present || !nat_may_collide(skb))
		return VERDICT_PASS;
	if (!pull_ipv4(skb, link_header_length) ||
	    parse_ipv4(skb, link_header_length, skb->len, &packet) != DROP_NONE || !packet.has_flow)
		return VERDICT_PASS;
	return packet.kind == PACKET_ICMP_ERROR ? nat_leave_error(skb, &packet)
						: nat_leave_host(skb, &packet);
}

#endif
