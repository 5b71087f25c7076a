/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_DROP_REASON_H
#define PODLANE_SCHEMA_DROP_REASON_H

/* Why a packet was dropped: X(NAME, "name for people", "one line of help"). Written once; numbers
 * only grow. */
#define DROP_REASONS(X)                                                                            \
	X(TRUNCATED, "truncated", "the packet is shorter than its headers say")                    \
	X(BAD_IP_HEADER, "bad-ip-header",                                                          \
	  "IPv4 version, header length, total length or checksum is wrong")                        \
	X(SPOOFED_SOURCE, "spoofed-source",                                                        \
	  "a pod sent from an address or MAC that is not its own")                                 \
	X(SPOOFED_ARP, "spoofed-arp", "a pod sent ARP with an address or MAC that is not its own") \
	X(UNSUPPORTED_ETHERTYPE, "unsupported-ethertype",                                          \
	  "a pod sent neither IPv4 nor ARP, or a VLAN tag")                                        \
	X(NO_POD_ROUTE, "no-pod-route",                                                            \
	  "the address is in clusterCIDRs but belongs to no node or pod")                          \
	X(BAD_VXLAN_HEADER, "bad-vxlan-header",                                                    \
	  "VXLAN flags are not 0x08000000, or UDP and IP lengths disagree")                        \
	X(WRONG_VNI, "wrong-vni", "VXLAN on the overlay's port with another VNI")                  \
	X(UNKNOWN_VTEP, "unknown-vtep", "VXLAN from an address that is no node of the cluster")    \
	X(FOREIGN_INNER_SOURCE, "foreign-inner-source",                                            \
	  "the inner source is neither in the sending node's podCIDRs nor the node's own address") \
	X(BAD_INNER_FRAME, "bad-inner-frame",                                                      \
	  "the inner frame is not IPv4, or its header is wrong")                                   \
	X(ECN_CONGESTED, "ecn-congested",                                                          \
	  "congestion was marked on a packet whose transport cannot hear of it (RFC 6040)")        \
	X(NO_UNDERLAY_ROUTE, "no-underlay-route", "the kernel has no route to the peer node")      \
	X(ENCAPSULATION_FAILED, "encapsulation-failed",                                            \
	  "the kernel refused to make room for the outer headers")                                 \
	X(DECAPSULATION_FAILED, "decapsulation-failed",                                            \
	  "the kernel refused to take the outer headers off")                                      \
	X(TUNNEL_KEY_FAILED, "tunnel-key-failed",                                                  \
	  "the kernel refused or lacked the tunnel metadata of the overlay device")                \
	X(PACKET_WRITE_FAILED, "packet-write-failed",                                              \
	  "the kernel refused to rewrite a header that was checked before")                        \
	X(PEER_UNREACHABLE, "peer-unreachable",                                                    \
	  "a pod's packet to the address of a node to which there is no path that may be taken")   \
	X(TOO_BIG, "too-big",                                                                      \
	  "a pod's packet that must not be fragmented is larger than the path to the peer node:"   \
	  " the pod is told by ICMP")                                                              \
	X(NAT_PORTS_EXHAUSTED, "nat-ports-exhausted",                                              \
	  "no port of snat.portRange is free for this destination and protocol")                   \
	X(NAT_TABLE_FULL, "nat-table-full", "the table of translations is full")                   \
	X(NAT_POD_SHARE_EXCEEDED, "nat-pod-share-exceeded",                                        \
	  "the pod holds as many translations as one pod may")                                     \
	X(NAT_UNSUPPORTED_PROTOCOL, "nat-unsupported-protocol",                                    \
	  "to the outside, of a protocol that cannot be translated")                               \
	X(NAT_NOT_OPENED, "nat-not-opened",                                                        \
	  "a pod's answer or ICMP error to the outside that belongs to no translation")            \
	X(NAT_FRAGMENT, "nat-fragment",                                                            \
	  "a later IP fragment to the outside that came before the first, or long after it")       \
	X(NAT_IP_OPTIONS, "nat-ip-options", "to the outside, with IPv4 options")                   \
	X(NAT_LOCAL_SCOPE, "nat-local-scope",                                                      \
	  "to a multicast or link-local address, which would leave with the pod's address")        \
	X(NAT_NO_ADDRESS, "nat-no-address",                                                        \
	  "to the outside by a device for which there is no address to translate to")              \
	X(NAT_NO_POD, "nat-no-pod",                                                                \
	  "to the outside from an address of this node's podCIDR that no pod of podlane's has")    \
	X(NAT_CLAIM_LOST, "nat-claim-lost",                                                        \
	  "another flow took the expired translation over in this very moment")                    \
	X(NAT_TTL_EXPIRED, "nat-ttl-expired",                                                      \
	  "a reply from the outside arrived with no hop left to its pod")                          \
	X(NAT_REWRITE_FAILED, "nat-rewrite-failed",                                                \
	  "the kernel refused to translate the packet, or it is too short for its protocol")       \
	X(NAT_UNKNOWN_DEVICE, "nat-unknown-device",                                                \
	  "to the outside where no program of podlane stands yet, or by a route that "             \
	  "encapsulates")                                                                          \
	X(NAT_UNSUPPORTED_DEVICE, "nat-unsupported-device",                                        \
	  "to the outside by a device whose link-layer header is neither Ethernet's nor none")     \
	X(SHIM_FOREIGN_SENDER, "shim-foreign-sender",                                              \
	  "seen at a macvlan shim, from none of this node's macvlan pods: the LAN's broadcasts"    \
	  " are copied to it, and answered by the master alone")                                   \
	X(SHIM_FOREIGN_ARP, "shim-foreign-arp",                                                    \
	  "a macvlan pod's ARP, seen at the shim, that is no request for an address of the "       \
	  "host's")                                                                                \
	X(SHIM_TO_LOOPBACK, "shim-to-loopback",                                                    \
	  "a macvlan pod's packet to 127.0.0.0/8, which is the host's own")                        \
	X(SHIM_NOT_TO_POD, "shim-not-to-pod",                                                      \
	  "the host's own ARP, multicast, redirects or whatever else is for none of this node's"   \
	  " macvlan pods: the LAN must not see the shim")

enum drop_reason {
	DROP_NONE = 0,
#define X(name, text, help) DROP_##name,
	DROP_REASONS(X)
#undef X
	    DROP_REASON_COUNT,
};

/* Why a packet was left to the host's stack. */
#define HANDOVER_REASONS(X)                                                                        \
	X(NODE_ADDRESS, "node-address", "the destination is an address of a node")                 \
	X(OUTSIDE, "outside", "the destination is outside the cluster's pod networks")             \
	X(STACK_FLOW, "stack-flow",                                                                \
	  "the flow entered through the stack, so its replies return through it")                  \
	X(UNKNOWN_FLOW, "unknown-flow", "a packet from the middle of a flow without an entry")     \
	X(FRAGMENT, "fragment", "an IP fragment: the stack can put it together")                   \
	X(IP_OPTIONS, "ip-options", "the IPv4 header carries options")                             \
	X(TTL_EXPIRED, "ttl-expired", "the stack answers with ICMP time exceeded")                 \
	X(TOO_BIG, "too-big",                                                                      \
	  "larger than the path: the stack fragments, or answers with ICMP fragmentation needed")  \
	X(NO_POD, "no-pod", "no pod has the address: the stack answers with ICMP unreachable")     \
	X(ARP, "arp", "ARP for an address other than the gateway's")                               \
	X(OVERLAY_HOST, "overlay-host",                                                            \
	  "VXLAN for the host itself, taken off by the overlay device")                            \
	X(PEER_UNREACHABLE, "peer-unreachable",                                                    \
	  "the peer node has no working path: the stack answers")                                  \
	X(PULL_FAILED, "pull-failed", "the headers could not be made linear")

enum handover_reason {
	HANDOVER_NONE = 0,
#define X(name, text, help) HANDOVER_##name,
	HANDOVER_REASONS(X)
#undef X
	    HANDOVER_REASON_COUNT,
};

#endif
