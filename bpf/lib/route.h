/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_ROUTE_H
#define PODLANE_BPF_ROUTE_H

#include "bpf/lib/maps.h"

static __always_inline __be32 network_mask(__u32 prefix_length)
{
	/* Shifted as 64 bits, so that a length of 0 needs no case of its own. */
	return bpf_htonl((__u32)(0xffffffff00000000ULL >> (prefix_length & 63)));
}

/* The node whose podCIDR holds the address, or NULL. A hash look-up for each prefix length in use;
 * mostly one. */
static __always_inline const struct node_route *find_pod_cidr(__be32 address)
{
	__u32 zero = 0;
	const struct pod_cidr_lengths *lengths = bpf_map_lookup_elem(&pod_cidr_lengths, &zero);

	if (!lengths)
		return NULL;
	for (__u32 i = 0; i < POD_CIDR_LENGTHS_MAX; i++) {
		struct pod_cidr_key key;
		const struct node_route *route;

		if (i >= lengths->count)
			return NULL;
		key.prefix_length = lengths->length[i];
		key.address = address & network_mask(key.prefix_length);
		route = bpf_map_lookup_elem(&nodes_by_pod_cidr, &key);
		if (route)
			return route;
	}
	return NULL;
}

/* Where an address lies, as seen from this node. */
enum destination_kind {
	DESTINATION_OUTSIDE,	  /* not in the pod network */
	DESTINATION_LOCAL_SCOPE,  /* nor there: multicast, link-local, broadcast */
	DESTINATION_UNTRANSLATED, /* nor there, but reached with a pod's own address */
	DESTINATION_SERVICE,	  /* a Service's address, if they are configured */
	DESTINATION_POD,	  /* a pod of this node */
	DESTINATION_NODE,	  /* another node, or a pod of it */
	DESTINATION_THIS_NODE,	  /* an address of this node itself */
	DESTINATION_NOBODY, /* in the cluster's pod networks, but neither a pod's nor a node's */
};

static __always_inline bool is_outside(enum destination_kind kind)
{
	return kind == DESTINATION_OUTSIDE || kind == DESTINATION_LOCAL_SCOPE ||
	       kind == DESTINATION_UNTRANSLATED || kind == DESTINATION_SERVICE;
}

struct destination {
	enum destination_kind kind;
	const struct pod_endpoint *pod; /* of DESTINATION_POD */
	const struct node_route *node;	/* of DESTINATION_NODE */
};

/* Never translated, unless a network of the configuration says otherwise. */
static __always_inline bool is_local_scope(__be32 address)
{
	return (address & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || /* 224.0.0.0/4 */
	       (address & bpf_htonl(0xffff0000)) == bpf_htonl(0xa9fe0000) || /* 169.254.0.0/16 */
	       address == bpf_htonl(0xffffffff);
}

static __always_inline enum destination_kind find_network(__be32 address)
{
	struct network_key key = {.prefix_length = 32, .address = address};
	const struct network_entry *network = bpf_map_lookup_elem(&networks_by_prefix, &key);

	if (!network)
		return is_local_scope(address) ? DESTINATION_LOCAL_SCOPE : DESTINATION_OUTSIDE;
	switch (network->network_class) {
	case NETWORK_CLUSTER:
		return DESTINATION_NOBODY;
	case NETWORK_UNTRANSLATED:
		return DESTINATION_UNTRANSLATED;
	case NETWORK_SERVICE:
		return DESTINATION_SERVICE;
	case NETWORK_TRANSLATED:
	default:
		return DESTINATION_OUTSIDE;
	}
}

/* By the cluster's podCIDRs alone: DESTINATION_NODE, DESTINATION_NOBODY where it lies in this
 * node's, DESTINATION_OUTSIDE for anything else. */
static __always_inline struct destination find_by_pod_cidr(__be32 address)
{
	struct destination destination = {.node = find_pod_cidr(address)};

	if (!destination.node)
		destination.kind = DESTINATION_OUTSIDE;
	else if (destination.node->path == NODE_PATH_LOCAL)
		destination.kind = DESTINATION_NOBODY;
	else
		destination.kind = DESTINATION_NODE;
	return destination;
}

/* Of a pod of this node, DESTINATION_POD; of any other address as find_by_pod_cidr has it. */
static __always_inline struct destination find_in_pod_network(__be32 address)
{
	struct destination destination = {.pod = bpf_map_lookup_elem(&pods_by_ipv4, &address)};

	if (!destination.pod)
		return find_by_pod_cidr(address);
	destination.kind = DESTINATION_POD;
	return destination;
}

/* What the podCIDRs do not say: a node's own address (flannel's `.0`, this node's among them, lie
 * in a podCIDR), or a network. */
static __always_inline struct destination find_further(__be32 address,
						       struct destination destination)
{
	const struct node_route *node;

	if (destination.kind != DESTINATION_NOBODY && destination.kind != DESTINATION_OUTSIDE)
		return destination;
	node = bpf_map_lookup_elem(&nodes_by_ipv4, &address);
	if (node) {
		destination.node = node;
		destination.kind =
		    node->path == NODE_PATH_LOCAL ? DESTINATION_THIS_NODE : DESTINATION_NODE;
	} else if (destination.kind == DESTINATION_OUTSIDE) {
		destination.kind = find_network(address);
	}
	return destination;
}

/* Whether the address is another node's, or lies in its podCIDRs. */
static __always_inline bool is_peer_address(__be32 address)
{
	return find_further(address, find_by_pod_cidr(address)).kind == DESTINATION_NODE;
}

static __always_inline struct destination find_destination(__be32 address)
{
	return find_further(address, find_in_pod_network(address));
}

/*
 * Whether what claims to come from `source` may come out of a tunnel from `vtep`: it must lie in
 * that node's podCIDRs or be that node's own address. Anything else could be injected by whoever
 * reaches our port.
 */
static __always_inline enum drop_reason check_tunnel_source(__be32 vtep, __be32 source)
{
	const struct node_route *route = find_pod_cidr(source);

	if (route && route->vtep == vtep && route->path != NODE_PATH_LOCAL)
		return DROP_NONE;
	route = bpf_map_lookup_elem(&nodes_by_ipv4, &source);
	if (route && route->vtep == vtep && route->path != NODE_PATH_LOCAL)
		return DROP_NONE;
	route = bpf_map_lookup_elem(&nodes_by_ipv4, &vtep);
	return route && route->path != NODE_PATH_LOCAL ? DROP_FOREIGN_INNER_SOURCE
						       : DROP_UNKNOWN_VTEP;
}

#endif
