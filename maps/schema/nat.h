/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_NAT_H
#define PODLANE_SCHEMA_NAT_H

#include <linux/bpf.h>
#include <linux/types.h>

#include "maps/schema/flow.h"

/*
 * Source NAT. A flow's translation is one entry of nat_by_flow, which holds all of its state; the
 * entry of nat_by_reply is the claim on the translated tuple and leads back to it. Who may write
 * what, and when: bpf/DESIGN.md, "Translations".
 */

enum nat_flag {
	NAT_FLAG_STACK = 1 << 0, /* the host's stack translates the flow as well: replies go up */
	NAT_FLAG_HOST = 1 << 1, /* the flow is the host's own; flow_key.pod_address is the host's */
};

/* What one side of a TCP connection has sent; of other protocols NAT_SEEN_DATA alone. */
enum nat_seen {
	NAT_SEEN_DATA = 1 << 0, /* anything but the SYN that opened the flow */
	NAT_SEEN_FIN = 1 << 1,
	NAT_SEEN_RST = 1 << 2,
};

/* Value of nat_by_flow; key: struct flow_key, as the pod sends. */
struct nat_entry {
	__u64 last_seen;    /* ns of CLOCK_MONOTONIC, to about a second */
	__be32 nat_address; /* what the source is translated to */
	__be16 nat_port;    /* ICMP echo: the identifier */
	__u8 flags;	    /* enum nat_flag, bits; NAT_FLAG_STACK may come, none goes */
	__u8 pod_seen; /* enum nat_seen, bits; written by the hooks that the pod's packets pass */
	__u8 remote_seen; /* enum nat_seen, bits; written by those of the remote's */
	__u8 way_tos;	  /* of the packet that the way was found for */
	__u16 way_length; /* bytes of an IP packet, host byte order: the way holds for what is no
			   * longer */
	__u32 way_seen;	  /* when it was found, NAT_WAY_TICK */
	__u64 way; /* the route that from_pod found: ifindex << 32 | next hop (__be32), as one
		    * number so that it is written at once; 0: none yet */
};

#define NAT_WAY_TICK 20 /* bits of CLOCK_MONOTONIC in ns: about a millisecond */

/* Key of nat_by_reply: a translated flow as the remote sees it. */
struct nat_reply_key {
	__be32 nat_address;
	__be32 remote_address;
	__be16 nat_port;
	__be16 remote_port; /* ICMP: 0 */
	__u8 protocol;	    /* IPPROTO_* */
	__u8 pad[3];
};

/* Value of nat_by_reply. */
struct nat_claim {
	struct flow_key flow;	   /* whose tuple it is; all zero while it is being given up */
	__u64 since;		   /* ns of CLOCK_MONOTONIC */
	struct bpf_spin_lock lock; /* held to change `flow`, or to bring an expired entry back */
	__u32 pad;
};

/* The range of ports is cut into blocks, so that a free port is found without a look at all of
 * them. */
#define NAT_BLOCKS_MAX	   256
#define NAT_BLOCK_SIZE_MAX 256

/* Key of nat_ports_by_destination. */
struct nat_destination {
	__be32 nat_address;
	__be32 remote_address;
	__be16 remote_port; /* ICMP: 0 */
	__u8 protocol;	    /* IPPROTO_* */
	__u8 pad;
};

/* Value of nat_ports_by_destination. A hint where to look; the claim is the entry of nat_by_reply.
 */
struct nat_ports {
	__u16 port_low; /* the range that the blocks are cut of, as in struct nat_config */
	__u16 port_count;
	__s32 used[NAT_BLOCKS_MAX]; /* ports in use by block */
};

/*
 * Value of nat_given_ports; key: __u32, a port (host byte order) / NAT_PORT_PAGE. Tells ports that
 * need a look at nat_by_reply from those that do not, also such as another snat.portRange gave.
 * Identifiers of ICMP echo are among them, SCTP's ports are not.
 */
#define NAT_PORT_PAGE  256
#define NAT_PORT_PAGES 256
struct nat_port_page {
	__u8 given[NAT_PORT_PAGE]; /* 1: since the map was made a translation has had the port */
};

/* Value of nat_flows_by_pod; key: __be32 address of the pod, or of the host itself. */
struct nat_pod_flows {
	__s64 flows; /* entries of nat_by_flow that are the pod's */
};

/* Key of nat_fragments: one IP datagram (RFC 791), as the hook sees it before it translates. */
struct nat_fragment_key {
	__be32 source;
	__be32 destination;
	__be16 id;
	__u8 protocol; /* IPPROTO_* */
	__u8 pad;
};

/* Value of nat_fragments: what the datagram's first fragment was translated to. */
struct nat_fragment {
	__u64 seen;	/* ns of CLOCK_MONOTONIC */
	__be32 address; /* new source of a pod's packet, new destination of a remote's */
	__u8 flags;	/* enum nat_flag, bits */
	__u8 pad[3];
};

enum nat_device_flag {
	NAT_DEVICE_OWN = 1 << 0,    /* the device has the address itself */
	NAT_DEVICE_SHARED = 1 << 1, /* other devices of the node stand on it (macvlan), each with a
				     * hook of its own */
	NAT_DEVICE_L3 = 1 << 2,	    /* its packets have no Ethernet header */
	NAT_DEVICE_INNER = 1 << 3,  /* nothing leaves the node by it: a pod's link, the overlay */
	NAT_DEVICE_HOST_ABOVE = 1 << 4, /* the shim on it carries the host in its place */
};

/*
 * Key of nat_address_by_device is __u32 ifindex. The entry of a device that packets may leave the
 * node by is there when its egress hook is, and not before: a device without one is not to be used.
 */
struct nat_device {
	__be32 address;	  /* source of what is translated and leaves by the device; inner: 0 */
	__u32 flags;	  /* enum nat_device_flag, bits */
	__u32 mtu;	  /* bytes of an IP packet; inner: 0 */
	__u8 mac[6];	  /* a macvlan network's master: the stack's frames have it; else 0 */
	__u8 shim_mac[6]; /* of the shim on it; 0: there is none */
};

/* What a translation's timeout depends on. */
enum nat_state {
	NAT_STATE_OPENING,     /* TCP */
	NAT_STATE_ESTABLISHED, /* TCP: both sides have sent */
	NAT_STATE_CLOSED,      /* TCP: a RST, or both FINs */
	NAT_STATE_UDP,
	NAT_STATE_DNS, /* UDP to port 53 */
	NAT_STATE_ICMP,
	NAT_STATE_SCTP,
	NAT_STATE_COUNT,
};

/* IANA's numbers: <linux/in.h> and <netinet/in.h> do not go together. */
#define NAT_TCP	 6
#define NAT_UDP	 17
#define NAT_ICMP 1

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NAT_DNS_PORT __builtin_bswap16(53)
#else
#define NAT_DNS_PORT 53
#endif

/* Called under a lock, where a program may call no function before Linux 6.9: it must be inlined.
 */
static inline __attribute__((always_inline)) enum nat_state
nat_state_of(const struct flow_key *flow, const struct nat_entry *entry)
{
	if (flow->protocol == NAT_UDP)
		return flow->remote_port == NAT_DNS_PORT ? NAT_STATE_DNS : NAT_STATE_UDP;
	if (flow->protocol != NAT_TCP)
		return flow->protocol == NAT_ICMP ? NAT_STATE_ICMP : NAT_STATE_SCTP;
	if (((entry->pod_seen | entry->remote_seen) & NAT_SEEN_RST) ||
	    (entry->pod_seen & entry->remote_seen & NAT_SEEN_FIN))
		return NAT_STATE_CLOSED;
	return (entry->pod_seen & entry->remote_seen & NAT_SEEN_DATA) ? NAT_STATE_ESTABLISHED
								      : NAT_STATE_OPENING;
}

/* Part of struct datapath_config. All zero: nothing is translated. */
struct nat_config {
	__u32 enabled;	     /* 1: pods' packets to the outside are translated */
	__u32 at_once;	     /* 1: networks_by_prefix holds the Services' networks, so that a flow
			      * to any other is translated from its first packet, past the stack */
	__u32 flows_per_pod; /* how many translations one pod may hold */
	__u16 port_low;	     /* host byte order */
	__u16 port_count;    /* port_low + port_count <= 65536 */
	__u16 block_size;    /* ports, 1 to NAT_BLOCK_SIZE_MAX; the last block may be smaller */
	__u16 block_count;   /* 1 to NAT_BLOCKS_MAX; together they hold port_count */
	__u32 timeouts[NAT_STATE_COUNT]; /* seconds, each at least 3 */
	__u32 macvlan; /* 1: macvlan pods are translated towards the other nodes, be `enabled` what
			* it may */
};

_Static_assert(sizeof(struct nat_entry) == 32, "no implicit padding");
_Static_assert(sizeof(struct nat_reply_key) == 16, "no implicit padding");
_Static_assert(sizeof(struct nat_claim) == 32, "no implicit padding");
_Static_assert(sizeof(struct nat_ports) == 4 + 4 * NAT_BLOCKS_MAX, "no implicit padding");
_Static_assert(sizeof(struct nat_destination) == 12, "no implicit padding");
_Static_assert(sizeof(struct nat_fragment_key) == 12, "no implicit padding");
_Static_assert(sizeof(struct nat_fragment) == 16, "no implicit padding");
_Static_assert(sizeof(struct nat_device) == 24, "no implicit padding");
_Static_assert(sizeof(struct nat_config) == 52, "no implicit padding");

#endif
