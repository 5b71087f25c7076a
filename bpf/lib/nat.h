/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_H
#define PODLANE_BPF_NAT_H

#include "bpf/lib/count.h"
#include "bpf/lib/nat_acquire.h"
#include "bpf/lib/nat_rewrite.h"
#include "bpf/lib/route.h"

/* What the hooks share: a flow's translation, and the fragments that follow a first one. */

/* This CPU's request, made anew for the flow; there always is one. Not on the stack: with what is
 * called from here it would not fit. */
static __always_inline struct nat_request *nat_request_for(const struct flow_key *flow)
{
	struct nat_request *request = nat_current();

	if (!request)
		return NULL;
	__builtin_memset(request, 0, sizeof(*request));
	request->flow = *flow;
	request->reply = nat_reply_of(flow);
	request->now = bpf_ktime_get_ns();
	return request;
}

static __always_inline const struct nat_device *nat_find_device(__u32 ifindex)
{
	return bpf_map_lookup_elem(&nat_address_by_device, &ifindex);
}

/* The pod's own choice, or that of the device that the packet leaves by. 0: there is none. */
static __always_inline __be32 nat_address_for(__be32 egress_address, __u32 ifindex)
{
	const struct nat_device *device;

	if (egress_address)
		return egress_address;
	device = nat_find_device(ifindex);
	return device ? device->address : 0;
}

static __always_inline struct nat_change nat_change_out(const struct flow_key *flow,
							const struct nat_entry *entry)
{
	struct nat_change change = {
	    .old_address = flow->pod_address,
	    .new_address = entry->nat_address,
	    .old_port = flow->pod_port,
	    .new_port = entry->nat_port,
	};

	return change;
}

/* Translates the source. Point of no return. */
static __always_inline bool nat_rewrite_out(struct __sk_buff *skb, const struct packet *packet,
					    const struct flow_key *flow,
					    const struct nat_entry *entry)
{
	struct nat_change change = nat_change_out(flow, entry);

	return nat_rewrite(skb, packet, NAT_END_SOURCE, &change);
}

/* Translates the destination back. Point of no return. */
static __always_inline bool nat_rewrite_in(struct __sk_buff *skb, const struct packet *packet,
					   const struct flow_key *flow,
					   const struct nat_entry *entry)
{
	struct nat_change change = {
	    .old_address = entry->nat_address,
	    .new_address = flow->pod_address,
	    .old_port = entry->nat_port,
	    .new_port = flow->pod_port,
	};

	return nat_rewrite(skb, packet, NAT_END_DESTINATION, &change);
}

/* How long a datagram may take to arrive (RFC 1122, 3.3.2, has 60 to 120 s; Linux takes 30). */
#define NAT_FRAGMENT_TIME (30 * NAT_SECOND)

static __always_inline struct nat_fragment_key nat_fragment_of(const struct packet *packet)
{
	struct nat_fragment_key key = {
	    .source = packet->source,
	    .destination = packet->destination,
	    .id = packet->id,
	    .protocol = packet->protocol,
	};

	return key;
}

/* Of a first fragment: what its followers are translated to. */
static __always_inline void nat_record_fragment(const struct packet *packet, __be32 address,
						__u8 flags, __u64 now)
{
	struct nat_fragment_key key = nat_fragment_of(packet);
	struct nat_fragment fragment = {.seen = now, .address = address, .flags = flags};

	if (packet->is_fragment)
		bpf_map_update_elem(&nat_fragments, &key, &fragment, BPF_ANY);
}

static __always_inline const struct nat_fragment *nat_find_fragment(const struct packet *packet)
{
	struct nat_fragment_key key = nat_fragment_of(packet);
	const struct nat_fragment *first = bpf_map_lookup_elem(&nat_fragments, &key);

	return first && nat_age(first->seen, bpf_ktime_get_ns()) < NAT_FRAGMENT_TIME ? first : NULL;
}

/* What the configuration wants of a flow that begins. */
static __always_inline bool nat_is_wanted(const struct pod_endpoint *pod,
					  enum destination_kind kind)
{
	return kind != DESTINATION_UNTRANSLATED && !(pod->flags & POD_FLAG_NO_SNAT);
}

/* The translation of the flow that a pod's packet is of. An ICMP error names the flow in what it
 * quotes, and a pod can quote what it likes: another pod's is none of its. */
static __always_inline struct nat_entry *nat_find_own(const struct packet *packet,
						      const struct flow_key *flow)
{
	return packet->source == flow->pod_address ? bpf_map_lookup_elem(&nat_by_flow, flow) : NULL;
}

/* Whether a pod's packet is of a flow that is translated, whatever the configuration wants by now:
 * with another address the remote would not know it any more. */
static __always_inline bool nat_is_kept(const struct packet *packet)
{
	struct flow_key flow = flow_key_from_pod(packet);
	const struct nat_entry *entry;

	if (!packet->has_flow)
		return nat_find_fragment(packet);
	entry = nat_find_own(packet, &flow);
	return entry && nat_is_alive(&flow, entry, bpf_ktime_get_ns());
}

#endif
