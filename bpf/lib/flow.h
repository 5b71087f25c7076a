/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_FLOW_H
#define PODLANE_BPF_FLOW_H

#include "bpf/lib/maps.h"
#include "bpf/lib/parse.h"

/*
 * Who owns a flow: see bpf/DESIGN.md, "Flow owners". The host's stack translates some flows and
 * must then see both directions of them; all others are ours from their first packet. Whatever is
 * not known is the stack's.
 */

static __always_inline struct flow_key flow_key_from_pod(const struct packet *packet)
{
	struct flow_key key = {
	    .pod_address = packet->flow.source,
	    .remote_address = packet->flow.destination,
	    .pod_port = packet->flow.source_port,
	    .remote_port = packet->flow.destination_port,
	    .protocol = packet->flow.protocol,
	};

	return key;
}

static __always_inline struct flow_key flow_key_to_pod(const struct packet *packet)
{
	struct flow_key key = {
	    .pod_address = packet->flow.destination,
	    .remote_address = packet->flow.source,
	    .pod_port = packet->flow.destination_port,
	    .remote_port = packet->flow.source_port,
	    .protocol = packet->flow.protocol,
	};

	return key;
}

static __always_inline void set_owner(const struct flow_key *key, enum flow_owner owner)
{
	struct flow_entry entry = {.owner = owner};

	bpf_map_update_elem(&flow_owners, key, &entry, BPF_ANY);
}

static __always_inline void set_awaited(const struct flow_key *key, enum flow_pending pending)
{
	struct flow_entry entry = {.owner = FLOW_OWNER_UNDECIDED, .pending = pending};

	bpf_map_update_elem(&flow_owners, key, &entry, BPF_ANY);
}

/* Remembers that a packet of the flow goes up the stack, so that it is recognised when it leaves
 * unchanged. */
static __always_inline void await_flow(const struct flow_key *key, enum flow_pending pending)
{
	struct flow_entry *known = bpf_map_lookup_elem(&flow_owners, key);
	struct flow_entry entry = {.owner = FLOW_OWNER_UNDECIDED, .pending = pending};

	if (!known)
		bpf_map_update_elem(&flow_owners, key, &entry, BPF_NOEXIST);
	else if (known->owner == FLOW_OWNER_UNDECIDED)
		known->pending |= pending;
}

/*
 * Decides for a packet between a pod of this node and an address of the pod network, on its way
 * past the stack. HANDOVER_NONE: the flow is ours.
 *
 * A packet that opens a flow, or may, makes the flow ours: kube-proxy never translates what a pod
 * sends to a pod's own address. One from the middle of an unknown flow may belong to a translated
 * flow whose entry was evicted.
 */
static __always_inline enum handover_reason
claim_flow(const struct packet *packet, const struct flow_key *key, enum flow_pending pending)
{
	const struct flow_entry *known = bpf_map_lookup_elem(&flow_owners, key);

	if (known && known->owner == FLOW_OWNER_FAST)
		return HANDOVER_NONE;
	if (packet->kind == PACKET_OPENING || (packet->kind == PACKET_DATAGRAM && !known)) {
		set_owner(key, FLOW_OWNER_FAST);
		return HANDOVER_NONE;
	}
	if (known && known->owner == FLOW_OWNER_STACK)
		return HANDOVER_STACK_FLOW;
	if (packet->kind != PACKET_ICMP_ERROR)
		await_flow(key, pending);
	return HANDOVER_UNKNOWN_FLOW;
}

/*
 * claim_flow for whatever packet: what names no flow goes up, and so does every fragment, since the
 * stack may have to put the datagram together; its first fragment claims the flow all the same, for
 * the datagrams that are whole.
 */
static __always_inline enum handover_reason
check_flow(const struct packet *packet, const struct flow_key *key, enum flow_pending pending)
{
	enum handover_reason handover = HANDOVER_FRAGMENT;

	if (packet->has_options)
		return HANDOVER_IP_OPTIONS;
	if (packet->has_flow)
		handover = claim_flow(packet, key, pending);
	return packet->is_fragment ? HANDOVER_FRAGMENT : handover;
}

/* Whether what the stack forwards for the pod, or for none of ours, has passed our programs on its
 * way there. */
static __always_inline bool has_passed_us(const struct pod_endpoint *pod)
{
	return pod && !(pod->flags & POD_FLAG_UNHOOKED);
}

/*
 * Learns from a packet that leaves the stack with the tuple `key`: ours when it is the packet that
 * was handed up (`pending` bit set: unchanged), otherwise the stack made or translated it, and its
 * replies belong there. A flow that is ours stays so for late segments and for fragments of it,
 * which go up the stack whoever owns the flow, but a whole datagram from the stack shows that we
 * were wrong.
 */
static __always_inline void learn_from_stack(const struct packet *packet,
					     const struct flow_key *key, enum flow_pending pending)
{
	const struct flow_entry *known = bpf_map_lookup_elem(&flow_owners, key);

	if (!packet->has_flow || packet->kind == PACKET_ICMP_ERROR)
		return;
	if (known && known->owner == FLOW_OWNER_STACK)
		return;
	if (known && known->owner == FLOW_OWNER_FAST &&
	    (packet->kind != PACKET_DATAGRAM || packet->is_fragment))
		return;
	if (known && known->owner == FLOW_OWNER_UNDECIDED && (known->pending & pending))
		set_owner(key, FLOW_OWNER_FAST);
	else
		set_owner(key, FLOW_OWNER_STACK);
}

#endif
