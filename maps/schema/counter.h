/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_COUNTER_H
#define PODLANE_SCHEMA_COUNTER_H

#include <linux/types.h>

/*
 * Where a packet was seen, written once: X(NAME, "text for people"). "from" and "to" are the host's
 * point of view of the pod, the underlay, the overlay device and a macvlan shim; the guard is the
 * XDP program of the underlay. Every other device that packets can leave the node by counts as
 * underlay.
 */
#define DIRECTIONS(X)                                                                              \
	X(FROM_POD, "from-pod")                                                                    \
	X(TO_POD, "to-pod")                                                                        \
	X(FROM_UNDERLAY, "from-underlay")                                                          \
	X(TO_UNDERLAY, "to-underlay")                                                              \
	X(FROM_OVERLAY, "from-overlay")                                                            \
	X(TO_OVERLAY, "to-overlay")                                                                \
	X(UNDERLAY_GUARD, "underlay-guard")                                                        \
	X(FROM_SHIM, "from-shim")                                                                  \
	X(TO_SHIM, "to-shim")

enum direction {
#define X(name, text) DIRECTION_##name,
	DIRECTIONS(X)
#undef X
	    DIRECTION_COUNT,
};

/* What the programs did with a packet that they forwarded themselves. Index of path_counters. */
#define FORWARD_PATHS(X)                                                                           \
	X(POD_TO_LOCAL_POD, "pod-to-local-pod")                                                    \
	X(POD_TO_OVERLAY, "pod-to-overlay")                                                        \
	X(OVERLAY_TO_POD, "overlay-to-pod")                                                        \
	X(HOST_TO_OVERLAY, "host-to-overlay")                                                      \
	X(OVERLAY_TO_HOST, "overlay-to-host")                                                      \
	X(STACK_TO_OVERLAY, "stack-to-overlay")                                                    \
	X(ARP_ANSWERED, "arp-answered")                                                            \
	X(BULK_TO_OVERLAY_DEVICE, "bulk-to-overlay-device")                                        \
	X(POD_TO_DIRECT, "pod-to-direct")                                                          \
	X(DIRECT_TO_POD, "direct-to-pod")                                                          \
	X(STACK_TO_DIRECT, "stack-to-direct")                                                      \
	X(POD_TO_OUTSIDE, "pod-to-outside")                                                        \
	X(STACK_TO_OUTSIDE, "stack-to-outside")                                                    \
	X(HOST_TO_OUTSIDE, "host-to-outside")                                                      \
	X(OUTSIDE_TO_POD, "outside-to-pod")                                                        \
	X(OUTSIDE_TO_STACK, "outside-to-stack")                                                    \
	X(OUTSIDE_TO_HOST, "outside-to-host")                                                      \
	X(MACVLAN_TO_STACK, "macvlan-to-stack")                                                    \
	X(STACK_TO_MACVLAN, "stack-to-macvlan")                                                    \
	X(MACVLAN_TO_NODE, "macvlan-to-node")                                                      \
	X(NODE_TO_MACVLAN, "node-to-macvlan")

enum forward_path {
#define X(name, text) PATH_##name,
	FORWARD_PATHS(X)
#undef X
	    PATH_COUNT,
};

/* Key of drop_counters and handover_counters. */
struct reason_key {
	__u16 reason;	 /* enum drop_reason or enum handover_reason */
	__u16 direction; /* enum direction */
};

struct packet_counter {
	__u64 packets;
	__u64 bytes; /* of the frame as the hook saw it, Ethernet header included */
};

_Static_assert(sizeof(struct reason_key) == 4, "no implicit padding");
_Static_assert(sizeof(struct packet_counter) == 16, "no implicit padding");

#endif
