// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "maps/base/result.h"
#include "test/prog/harness/frame.h"

namespace podlane::prog {

// What a tc program returns, as tcx and clsact understand it.
enum class Verdict : std::int32_t {
    pass = -1,  // to the next program, then the stack
    drop = 2,
    redirect = 7,
};
[[nodiscard]] std::string to_string(Verdict verdict);
std::ostream& operator<<(std::ostream& out, Verdict verdict);

// The part of the packet's context that BPF_PROG_TEST_RUN lets us choose. skb->protocol and skb->pkt_type come out of
// the Ethernet header: PACKET_HOST where the destination is the MAC of the device.
struct Context {
    std::uint32_t ifindex = 0;  // must exist in this network namespace
    std::uint32_t mark = 0;
    std::uint32_t gso_size = 0;
    std::uint32_t gso_segs = 0;
};

// What became of the packet. Redirections are decided but not executed.
struct Outcome {
    Verdict verdict = Verdict::pass;
    Bytes packet;
    std::uint32_t mark = 0;
};

// The least that the kernel takes for a test run of an IPv4 frame; shorter ones are put on a wire (live_test.cpp).
inline constexpr std::size_t shortest_test_run = 34;

// Runs a tc program once over a packet of at least an Ethernet header.
[[nodiscard]] Result<Outcome> run_program(int program_fd, const Bytes& packet, const Context& context);

}  // namespace podlane::prog
