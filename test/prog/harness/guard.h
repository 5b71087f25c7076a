// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "loader/guard_program.h"
#include "test/prog/harness/node.h"

namespace podlane::prog {

enum class XdpVerdict : std::uint32_t { drop = 1, pass = 2 };
[[nodiscard]] std::string to_string(XdpVerdict verdict);

struct XdpOutcome {
    XdpVerdict verdict = XdpVerdict::pass;
    Bytes packet;
};

// The XDP program in front of the overlay, loaded beside a node's programs, over the same maps.
class Guard {
public:
    // The node must outlive the guard.
    Guard(Node& node, XdpBuffers buffers);

    // Runs it once over a packet of at least an Ethernet header. A packet of more than some 3,500 bytes lies in several
    // buffers.
    [[nodiscard]] XdpOutcome run(const Bytes& packet) const;
    // The same with that many bytes in the first buffer. Nothing: this kernel cannot be asked for it (before 6.18).
    [[nodiscard]] std::optional<XdpOutcome> run_split(const Bytes& packet, std::size_t first_buffer) const;

    [[nodiscard]] testing::AssertionResult comes_to(const Bytes& packet, XdpVerdict verdict,
                                                    const Counted& counted) const;
    [[nodiscard]] XdpBuffers buffers() const { return buffers_; }

private:
    Node& node_;
    XdpBuffers buffers_;
    GuardProgram program_;
};

}  // namespace podlane::prog
