// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <set>

#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::netfilter {

// Has conntrack forget the IPv4 connections that begin or end at one of `pods` and that it does not translate: those
// of which it may have missed packets, so that it takes what they send next for INVALID. It picks them up anew with
// the next packet it sees (nf_conntrack_tcp_loose, on unless somebody turned it off), whatever their windows are. One
// that it translates stays: without the entry its packets would go out as they are.
//
// Of the calling thread's network namespace. Returns how many there were; none on a kernel without conntrack or its
// netlink interface. After an error some may be forgotten; it can be done again. Needs CAP_NET_ADMIN.
[[nodiscard]] Result<std::size_t> forget_plain_connections(const std::set<Ipv4Address>& pods);

}  // namespace podlane::netfilter
