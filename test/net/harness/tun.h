// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <thread>

#include "maps/base/fd.h"
#include "test/net/harness/links.h"

namespace podlane::net {

// Two tun devices, one in each namespace, both up, and what carries packets from one to the other: a link without
// Ethernet headers.
class TunWire {
public:
    TunWire(const DeviceRef& one, const DeviceRef& other);
    TunWire(const TunWire&) = delete;
    TunWire& operator=(const TunWire&) = delete;
    ~TunWire() = default;

private:
    Fd one_;
    Fd other_;
    std::jthread carrier_;
};

}  // namespace podlane::net
