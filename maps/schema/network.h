/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_NETWORK_H
#define PODLANE_SCHEMA_NETWORK_H

#include <linux/types.h>

/* Key of networks_by_prefix, in the form that BPF_MAP_TYPE_LPM_TRIE demands. */
struct network_key {
	__u32 prefix_length; /* 0 to 32, host byte order */
	__be32 address;	     /* network byte order, host bits zero */
};

enum network_class {
	NETWORK_CLUSTER =
	    1, /* clusterCIDRs: an address here without a pod or node is unreachable */
	NETWORK_UNTRANSLATED = 2, /* nonMasqueradeCIDRs: reached with the pod's own address */
	NETWORK_SERVICE = 3,	  /* serviceCIDRs: the stack's to translate */
	NETWORK_TRANSLATED = 4,	  /* link-local, where that is translated like all the outside */
};

/* Value of networks_by_prefix. */
struct network_entry {
	__u32 network_class; /* enum network_class */
};

_Static_assert(sizeof(struct network_key) == 8, "no implicit padding");
_Static_assert(sizeof(struct network_entry) == 4, "no implicit padding");

#endif
