/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_MAPS_H
#define PODLANE_SCHEMA_MAPS_H

#include "maps/schema/counter.h"
#include "maps/schema/flow.h"
#include "maps/schema/macvlan.h"
#include "maps/schema/nat.h"
#include "maps/schema/network.h"
#include "maps/schema/node.h"
#include "maps/schema/pod.h"

/*
 * Every map, written once: X(name, type without BPF_MAP_TYPE_, key, value, capacity, flags,
 * "purpose"). bpf/lib/maps.h makes the definitions from it, maps/spec.h the C++ types and
 * maps/catalog the printers.
 *
 * When a map is full:
 *   nodes_*, pods_*, macvlan_pods_*, networks_* refuse the new entry; the agent logs it and reports
 * itself degraded. flow_owners evicts the least recently used entry: harmless, an unknown flow is
 * the stack's.
 *   *_counters hold every combination there is.
 *   nat_by_flow, nat_by_reply refuse: the new flow's packet is dropped and counted, no other
 * suffers. nat_flows_by_pod refuses, and the pod beyond its capacity has no share to exceed.
 *   nat_ports_by_destination, nat_fragments evict: a hint less, or a datagram that is in flight.
 */
#define PODLANE_MAPS(X)                                                                            \
	X(nodes_by_pod_cidr, HASH, struct pod_cidr_key, struct node_route, 16384, 0,               \
	  "which node owns a podCIDR, and the way to it")                                          \
	X(nodes_by_ipv4, HASH, __be32, struct node_route, 16384, 0,                                \
	  "the addresses of all nodes, and the way to them")                                       \
	X(pods_by_ipv4, HASH, __be32, struct pod_endpoint, 4096, 0, "the pods of this node")       \
	X(networks_by_prefix, LPM_TRIE, struct network_key, struct network_entry, 16384,           \
	  BPF_F_NO_PREALLOC, "networks that are treated as a whole: clusterCIDRs and others")      \
	X(pod_cidr_lengths, ARRAY, __u32, struct pod_cidr_lengths, 1, 0,                           \
	  "prefix lengths in use by podCIDRs")                                                     \
	X(flow_owners, LRU_HASH, struct flow_key, struct flow_entry, 131072, 0,                    \
	  "whether podlane's programs or the host's stack forward a flow")                         \
	X(drop_counters, PERCPU_HASH, struct reason_key, struct packet_counter, 1024, 0,           \
	  "dropped packets by reason and direction")                                               \
	X(handover_counters, PERCPU_HASH, struct reason_key, struct packet_counter, 1024, 0,       \
	  "packets left to the host's stack by reason and direction")                              \
	X(path_counters, PERCPU_ARRAY, __u32, struct packet_counter, PATH_COUNT, 0,                \
	  "packets that the programs forwarded")                                                   \
	X(nat_by_flow, HASH, struct flow_key, struct nat_entry, 131072, 0,                         \
	  "translations of the source of flows to the outside")                                    \
	X(nat_by_reply, HASH, struct nat_reply_key, struct nat_claim, 131072, 0,                   \
	  "which flow a translated tuple belongs to")                                              \
	X(nat_ports_by_destination, LRU_HASH, struct nat_destination, struct nat_ports, 4096, 0,   \
	  "ports in use towards a destination")                                                    \
	X(nat_given_ports, ARRAY, __u32, struct nat_port_page, NAT_PORT_PAGES, 0,                  \
	  "ports that translations were ever given")                                               \
	X(nat_flows_by_pod, HASH, __be32, struct nat_pod_flows, 16384, BPF_F_NO_PREALLOC,          \
	  "how many translations a pod holds")                                                     \
	X(nat_fragments, LRU_HASH, struct nat_fragment_key, struct nat_fragment, 4096, 0,          \
	  "datagrams whose later fragments are to be translated")                                  \
	X(nat_address_by_device, HASH, __u32, struct nat_device, 8192, BPF_F_NO_PREALLOC,          \
	  "the address that packets to the outside take, by device")                               \
	X(macvlan_pods_by_ipv4, HASH, __be32, struct macvlan_pod, 4096, 0,                         \
	  "the macvlan pods of this node")

#endif
