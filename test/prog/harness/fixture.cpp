// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

namespace podlane::prog {

testing::AssertionResult are_counted(const Counted& actual, const Counted& expected) {
    if (expected == actual) {
        return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "counted " << testing::PrintToString(actual) << ", expected "
                                       << testing::PrintToString(expected);
}

testing::AssertionResult is_outcome(const Outcome& actual, const Outcome& expected) {
    if (actual.verdict != expected.verdict) {
        return testing::AssertionFailure()
               << "verdict " << to_string(actual.verdict) << ", expected " << to_string(expected.verdict);
    }
    if (actual.mark != expected.mark) {
        return testing::AssertionFailure() << fmt::format("mark {:#x}, expected {:#x}", actual.mark, expected.mark);
    }
    return same_packet(expected.packet, actual.packet);
}

Counted once(const std::string& counter, const Bytes& packet) {
    return {{counter, {1, packet.size()}}};
}

direction direction_of(Hook hook) {
    switch (hook) {
        case Hook::from_pod:
            return DIRECTION_FROM_POD;
        case Hook::to_pod:
            return DIRECTION_TO_POD;
        case Hook::from_underlay:
        case Hook::from_uplink:
        case Hook::from_l3_uplink:
            return DIRECTION_FROM_UNDERLAY;
        case Hook::to_underlay:
        case Hook::to_l3_uplink:
            return DIRECTION_TO_UNDERLAY;
        case Hook::from_overlay:
            return DIRECTION_FROM_OVERLAY;
        case Hook::to_overlay:
            return DIRECTION_TO_OVERLAY;
        case Hook::from_shim:
            return DIRECTION_FROM_SHIM;
        case Hook::to_shim:
            return DIRECTION_TO_SHIM;
    }
    throw std::logic_error("no such hook");
}

Node& ProgTest::node() {
    static Node node("n1");
    return node;
}

const std::vector<Guard>& ProgTest::guards() {
    static const std::vector<Guard> guards = [] {
        std::vector<Guard> all;
        all.emplace_back(node(), XdpBuffers::one);
        if (kernel_features().xdp == XdpBuffers::several) {
            all.emplace_back(node(), XdpBuffers::several);
        }
        return all;
    }();
    return guards;
}

testing::AssertionResult comes_to(Node& node, const At& at, const Bytes& packet, const Outcome& expected,
                                  const Counted& counted) {
    const Outcome actual = node.run(at, packet);
    const Counted actually_counted = node.counted();
    if (auto same = is_outcome(actual, expected); !same) {
        return same << "\n  counted " << testing::PrintToString(actually_counted);
    }
    return are_counted(actually_counted, counted);
}

testing::AssertionResult takes_the_overlay_device(Node& node, const At& at, const Frame& sent) {
    Frame expected = sent;
    expected.ip.ttl -= 1;
    return comes_to(node, at, bytes(sent), {Verdict::redirect, bytes(expected), fast_path_mark},
                    once(counter_of(PATH_POD_TO_OVERLAY), bytes(sent)));
}

testing::AssertionResult ProgTest::drops(const At& at, const Bytes& packet, drop_reason reason) {
    return comes_to(node(), at, packet, {Verdict::drop, packet, at.mark},
                    once(counter_of(reason, direction_of(at.hook)), packet));
}

testing::AssertionResult ProgTest::hands_over(const At& at, const Bytes& packet, handover_reason reason) {
    return comes_to(node(), at, packet, {Verdict::pass, packet, at.mark},
                    once(counter_of(reason, direction_of(at.hook)), packet));
}

testing::AssertionResult ProgTest::leaves_alone(const At& at, const Bytes& packet) {
    return comes_to(node(), at, packet, {Verdict::pass, packet, at.mark}, {});
}

testing::AssertionResult ProgTest::redirects(const At& at, const Bytes& packet, const Bytes& expected,
                                             forward_path path) {
    return comes_to(node(), at, packet, {Verdict::redirect, expected, at.mark}, once(counter_of(path), packet));
}

testing::AssertionResult ProgTest::guard_drops(const Bytes& packet, drop_reason reason) {
    return every_guard_comes_to(packet, XdpVerdict::drop, once(counter_of(reason, DIRECTION_UNDERLAY_GUARD), packet));
}

testing::AssertionResult ProgTest::guard_passes(const Bytes& packet) {
    return every_guard_comes_to(packet, XdpVerdict::pass, {});
}

testing::AssertionResult ProgTest::every_guard_comes_to(const Bytes& packet, XdpVerdict verdict,
                                                        const Counted& counted) {
    for (const Guard& guard : guards()) {
        if (auto same = guard.comes_to(packet, verdict, counted); !same) {
            return same;
        }
    }
    return testing::AssertionSuccess();
}

testing::AssertionResult ProgTest::goes_into_the_overlay(const At& at, const Bytes& packet) {
    return redirects(at, packet, packet, PATH_STACK_TO_OVERLAY);
}

testing::AssertionResult ProgTest::encapsulates(const At& at, const Frame& sent, const Member& to) {
    constexpr std::uint16_t first_dynamic_port = 49152;
    if (!kernel_writes_outer_headers()) {
        return takes_the_overlay_device(node(), at, sent);
    }
    const Bytes packet = bytes(sent);
    const Outcome actual = node().run(at, packet);
    const Counted counted = node().counted();
    if (actual.packet.size() != packet.size() + vxlan_overhead) {
        return testing::AssertionFailure()
               << "not encapsulated: " << to_string(actual.verdict) << ", " << actual.packet.size()
               << " bytes, counted " << testing::PrintToString(counted);
    }
    if (outer_source_port(actual.packet) < first_dynamic_port) {
        return testing::AssertionFailure() << "outer source port " << outer_source_port(actual.packet);
    }
    const Bytes expected = expected_encapsulation(sent, member("n1"), to, actual.packet);
    if (auto same = is_outcome(actual, {Verdict::redirect, expected, 0}); !same) {
        return same;
    }
    return are_counted(counted, once(counter_of(PATH_POD_TO_OVERLAY), packet));
}

}  // namespace podlane::prog
