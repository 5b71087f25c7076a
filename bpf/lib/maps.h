/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_BPF_MAPS_H
#define PODLANE_BPF_MAPS_H

#include "bpf/lib/common.h"

#define PODLANE_MAP_DEFINITION(name, map_type, key_type, value_type, capacity, flags, purpose)     \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##map_type);                                             \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
		__uint(max_entries, capacity);                                                     \
		__uint(map_flags, flags);                                                          \
	} name SEC(".maps");

PODLANE_MAPS(PODLANE_MAP_DEFINITION)

#undef PODLANE_MAP_DEFINITION

#endif
