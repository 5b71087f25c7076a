// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "test/prog/harness/cluster.h"
#include "test/prog/harness/diff.h"
#include "test/prog/harness/guard.h"
#include "test/prog/harness/node.h"

namespace podlane::prog {

// Where packets are put in on n1.
inline const At from_web{Hook::from_pod, "web"};
inline const At from_db{Hook::from_pod, "db"};
inline const At to_web{Hook::to_pod, "web"};
inline const At to_db{Hook::to_pod, "db"};
inline const At underlay_in{Hook::from_underlay, "eth1"};
inline const At underlay_out{Hook::to_underlay, "eth1"};
inline const At overlay_in{Hook::from_overlay, overlay_device};
inline const At overlay_out{Hook::to_overlay, overlay_device};

// Set by from-pod on what lacks nothing but outer headers.
inline constexpr std::uint32_t fast_path_mark = 0x504c4e45;

// The direction that a hook counts under.
[[nodiscard]] direction direction_of(Hook hook);

// Tests of n1's programs. They are loaded once; every test begins with the cluster's maps and no flows.
class ProgTest : public testing::Test {
protected:
    void SetUp() override { node().reset(); }

    [[nodiscard]] static Node& node();
    // The guards over the node's maps: one for packets in one buffer and, where the kernel can, one for several.
    [[nodiscard]] static const std::vector<Guard>& guards();

    // What a packet may come to. Each looks at the verdict, at every byte that came out and at every counter.
    // Dropped: counted once, for this reason.
    [[nodiscard]] static testing::AssertionResult drops(const At& at, const Bytes& packet, drop_reason reason);
    // Passed to the stack as it came, counted once as handed over.
    [[nodiscard]] static testing::AssertionResult hands_over(const At& at, const Bytes& packet, handover_reason reason);
    // Passed on as it came, because it is none of our business: nothing counted.
    [[nodiscard]] static testing::AssertionResult leaves_alone(const At& at, const Bytes& packet);
    // Redirected as `expected`, the path counted.
    [[nodiscard]] static testing::AssertionResult redirects(const At& at, const Bytes& packet, const Bytes& expected,
                                                            forward_path path);
    // Dropped by the guard, as it is loaded for packets in one buffer and, where the kernel can, in several.
    [[nodiscard]] static testing::AssertionResult guard_drops(const Bytes& packet, drop_reason reason);
    // Passed on by it as it came, nothing counted.
    [[nodiscard]] static testing::AssertionResult guard_passes(const Bytes& packet);
    // Sent into the overlay device by the underlay's, as it came.
    [[nodiscard]] static testing::AssertionResult goes_into_the_overlay(const At& at, const Bytes& packet);
    // Encapsulated to the node, the mark cleared, from a source port of the dynamic range; where the kernel cannot:
    // sent into the overlay device.
    [[nodiscard]] static testing::AssertionResult encapsulates(const At& at, const Frame& sent, const Member& to);

private:
    [[nodiscard]] static testing::AssertionResult every_guard_comes_to(const Bytes& packet, XdpVerdict verdict,
                                                                       const Counted& counted);
};

// Routed, marked and sent into the overlay device, which writes the outer headers.
[[nodiscard]] testing::AssertionResult takes_the_overlay_device(Node& node, const At& at, const Frame& sent);
// The same for the programs of any node, and any outcome.
[[nodiscard]] testing::AssertionResult comes_to(Node& node, const At& at, const Bytes& packet, const Outcome& expected,
                                                const Counted& counted);
[[nodiscard]] testing::AssertionResult is_outcome(const Outcome& actual, const Outcome& expected);
[[nodiscard]] testing::AssertionResult are_counted(const Counted& actual, const Counted& expected);
// One packet, under one counter.
[[nodiscard]] Counted once(const std::string& counter, const Bytes& packet);

}  // namespace podlane::prog
