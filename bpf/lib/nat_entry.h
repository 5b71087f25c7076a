/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_NAT_ENTRY_H
#define PODLANE_BPF_NAT_ENTRY_H

#include "bpf/lib/flow.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/parse.h"

/*
 * The life of a translation: what keeps it, and when it is over. Between NAT_GRACE before its
 * timeout and the timeout itself nobody may use it and nobody may take it: so no packet leaves by a
 * tuple that another CPU, whose clock is a little ahead, takes over in the same moment.
 */
#define NAT_SECOND 1000000000ULL
#define NAT_GRACE  NAT_SECOND
/* Written no more often, since the other CPUs read it. */
#define NAT_REFRESH (NAT_SECOND / 2)

static __always_inline bool same_flow(const struct flow_key *one, const struct flow_key *other)
{
	return one->pod_address == other->pod_address &&
	       one->remote_address == other->remote_address && one->pod_port == other->pod_port &&
	       one->remote_port == other->remote_port && one->protocol == other->protocol;
}

/* Whether anybody's packets are translated on this node. */
static __always_inline bool nat_is_used(void)
{
	return config.nat.enabled || config.nat.macvlan;
}

static __always_inline bool nat_is_in_range(__be16 port)
{
	return (__u32)(bpf_ntohs(port) - config.nat.port_low) < config.nat.port_count;
}

/* Translations that another configuration's range gave a port to live on. */
static __always_inline bool nat_is_given(__be16 port)
{
	__u32 page = bpf_ntohs(port) / NAT_PORT_PAGE;
	const struct nat_port_page *ports = bpf_map_lookup_elem(&nat_given_ports, &page);

	return ports && ports->given[bpf_ntohs(port) % NAT_PORT_PAGE];
}

/* Whether a translation may have the port. Cheap, for packets that have nothing to do with us. */
static __always_inline bool nat_may_have(__be16 port)
{
	return nat_is_in_range(port) || nat_is_given(port);
}

static __always_inline bool nat_is_closed(const struct flow_key *flow,
					  const struct nat_entry *entry)
{
	return nat_state_of(flow, entry) == NAT_STATE_CLOSED;
}

/* Nanoseconds. */
static __always_inline __u64 nat_timeout(const struct flow_key *flow, const struct nat_entry *entry)
{
	return config.nat.timeouts[nat_state_of(flow, entry)] * NAT_SECOND;
}

/* Nanoseconds. The clocks of two CPUs may differ a little. */
static __always_inline __u64 nat_age(__u64 since, __u64 now)
{
	__s64 age = now - since;

	return age > 0 ? age : 0;
}

static __always_inline __u64 nat_idle(const struct nat_entry *entry, __u64 now)
{
	return nat_age(entry->last_seen, now);
}

/* May be used. */
static __always_inline bool nat_is_alive(const struct flow_key *flow, const struct nat_entry *entry,
					 __u64 now)
{
	return nat_idle(entry, now) + NAT_GRACE < nat_timeout(flow, entry);
}

/* May be taken over, or removed. */
static __always_inline bool nat_is_expired(const struct flow_key *flow,
					   const struct nat_entry *entry, __u64 now)
{
	return nat_idle(entry, now) >= nat_timeout(flow, entry);
}

/*
 * A connection that both sides closed is kept for their last words, which nobody needs for long:
 * where ports are short it may be taken over so soon after. More than the shortest time after which
 * a FIN is sent again (Linux: 200 ms). Nothing but a SYN can bring it back, and that takes the
 * claim's lock; whatever else follows may leave by a tuple that is another flow's by then, as it
 * might have been delayed on its way.
 */
#define NAT_LINGER (NAT_SECOND / 4)

static __always_inline bool nat_is_dispensable(const struct flow_key *flow,
					       const struct nat_entry *entry, __u64 now)
{
	return flow->protocol == IPPROTO_TCP &&
	       (entry->pod_seen & entry->remote_seen & NAT_SEEN_FIN) &&
	       nat_idle(entry, now) >= NAT_LINGER;
}

static __always_inline void nat_refresh(struct nat_entry *entry, __u64 now)
{
	if (nat_idle(entry, now) >= NAT_REFRESH)
		entry->last_seen = now;
}

static __always_inline __u8 nat_seen_in(const struct packet *packet)
{
	__u8 seen = NAT_SEEN_DATA;

	if (packet->tcp_flags & TCP_FIN)
		seen |= NAT_SEEN_FIN;
	if (packet->tcp_flags & TCP_RST)
		seen |= NAT_SEEN_RST;
	return seen;
}

/* Nothing prolongs what was over before the packet; that it is over is noted to the moment. */
static __always_inline void nat_keep(const struct flow_key *flow, struct nat_entry *entry,
				     enum nat_state before, __u64 now)
{
	if (!nat_is_closed(flow, entry))
		nat_refresh(entry, now);
	else if (before != NAT_STATE_CLOSED)
		entry->last_seen = now;
}

/*
 * A packet of the pod's. Keeps the translation (RFC 4787, REQ-6), but for what follows on the end
 * of a TCP connection. A SYN opens a connection anew, and a segment after the remote's RST shows
 * that the pod did not believe it.
 */
static __always_inline void nat_track_from_pod(const struct flow_key *flow, struct nat_entry *entry,
					       const struct packet *packet, __u64 now)
{
	enum nat_state before = nat_state_of(flow, entry);
	__u8 seen = nat_seen_in(packet);

	if (packet->kind == PACKET_ICMP_ERROR) /* RFC 5508, REQ-6: refreshes nothing */
		return;
	if (packet->flow.protocol == IPPROTO_TCP && packet->kind == PACKET_OPENING) {
		if (entry->pod_seen | entry->remote_seen)
			entry->pod_seen = entry->remote_seen = 0;
		before = NAT_STATE_OPENING;
	} else {
		if (!(seen & NAT_SEEN_RST) && (entry->remote_seen & NAT_SEEN_RST))
			entry->remote_seen &= ~NAT_SEEN_RST;
		if ((entry->pod_seen | seen) != entry->pod_seen)
			entry->pod_seen |= seen;
	}
	nat_keep(flow, entry, before, now);
}

/* A packet of the remote's. Only of a TCP connection does it keep the translation: anybody can send
 * datagrams. */
static __always_inline void nat_track_to_pod(const struct flow_key *flow, struct nat_entry *entry,
					     const struct packet *packet, __u64 now)
{
	enum nat_state before = nat_state_of(flow, entry);
	__u8 seen = nat_seen_in(packet);

	if (packet->kind == PACKET_ICMP_ERROR)
		return;
	if ((entry->remote_seen | seen) != entry->remote_seen)
		entry->remote_seen |= seen;
	if (packet->flow.protocol == IPPROTO_TCP)
		nat_keep(flow, entry, before, now);
}

#endif
