// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/cni/failure.h"
#include "maps/base/address.h"

namespace podlane::cni {

class RtSocket;

// The device of the host that macvlan devices hang on.
struct Master {
    std::string name;
    MacAddress mac;
    unsigned mtu = 0;  // bytes of IP
};

// The device `name`, or where that is empty, as with the reference plugin, the one that the default route goes out of.
// Failures: 100 there is none; 7 it is one that macvlan cannot or must not share, with the reason: loopback, not
// Ethernet, a port of a bridge or bond, a device of podlane's own, a Wi-Fi station.
[[nodiscard]] Outcome<Master> find_master(RtSocket& host, const std::string& name);

}  // namespace podlane::cni
