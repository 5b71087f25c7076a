// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::prog {

struct Device {
    std::string name;
    MacAddress mac;
};

// Makes a veth pair for each of them in this network namespace, both ends down: `name`, and `name`-pod as its peer.
[[nodiscard]] Result<void> create_devices(const std::vector<Device>& devices);

// Brings up both ends of one of them, without IPv6, so that nothing is on it but what a test sends.
[[nodiscard]] Result<void> bring_up(const std::string& name);

// `ip -batch` in this network namespace.
[[nodiscard]] Result<void> run_ip(const std::string& commands);

// 0: there is no such device.
[[nodiscard]] std::uint32_t ifindex_of(const std::string& name);

}  // namespace podlane::prog
