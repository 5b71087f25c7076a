// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Attached to nothing: the loader runs it once over a small IPv4 packet to learn whether this
 * kernel makes room for outer headers.
 */
#include "bpf/lib/outer_room.h"

SEC("tc")
int probe_encapsulation(struct __sk_buff *skb)
{
	return push_outer_headers(skb);
}

char _license[] SEC("license") = "Dual BSD/GPL";
