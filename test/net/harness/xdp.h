// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <ostream>
#include <string>

#include "maps/base/fd.h"
#include "test/net/harness/links.h"

namespace podlane::net {

// What `ip link` says of a device's XDP hook.
struct XdpHook {
    std::string mode;           // "native", "generic"; empty: nothing runs there
    std::uint32_t program = 0;  // id

    bool operator==(const XdpHook&) const = default;
};
std::ostream& operator<<(std::ostream& out, const XdpHook& hook);
[[nodiscard]] XdpHook xdp_hook(const DeviceRef& device);

// Somebody else's XDP program, "somebody_elses", in the driver of a device for as long as it lives; passes everything.
class ForeignXdp {
public:
    explicit ForeignXdp(const DeviceRef& device);

private:
    Fd program_;
    Fd link_;
};

// Takes a pinned BPF link off its hook and leaves the pin, as `bpftool link detach` does.
void detach_link(const std::filesystem::path& pin);

}  // namespace podlane::net
