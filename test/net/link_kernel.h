// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include "agent/netlink/link.h"
#include "agent/netlink/netns.h"
#include "agent/netlink/socket.h"
#include "test/net/harness/error.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/process.h"

namespace podlane::net {

// The kernel of a namespace of the test's own, with the test's thread inside, so that /proc/sys/net is its too:
//
//   namespace ---- lo
//             \--- eth0 10.0.0.1/24, default via 10.0.0.254 --- wire (the other end of eth0, up)
//
// `ip` of iproute2 sets the scene and is the oracle.
class LinkKernelTest : public testing::Test {
protected:
    LinkKernelTest() : ns_("link"), scope_(netlink::NetnsScope::enter(ns_.fd())), socket_(netlink::Socket::open()) {
        ip("link add eth0 type veth peer name wire");
        ip("link set wire up");
        ip("addr add 10.0.0.1/24 dev eth0");
        ip("link set eth0 up");
        ip("route add default via 10.0.0.254");
    }

    std::string ip(std::string_view arguments) { return net::ip(ns_, arguments); }
    netlink::Socket& socket() { return *socket_; }
    std::uint32_t ifindex(std::string_view name) {
        const auto link = netlink::find_link(socket(), name);
        return link && *link ? (*link)->ifindex : 0;
    }

    Namespace ns_;
    Result<netlink::NetnsScope> scope_;
    Result<netlink::Socket> socket_;
};

[[nodiscard]] inline Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

[[nodiscard]] inline Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

// Processor time of this thread for `work`, in the kernel included: what it costs, on however busy a machine.
template <typename Work>
[[nodiscard]] std::chrono::milliseconds cost_of(Work&& work) {
    const auto now = [] {
        timespec time{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    };
    const auto start = now();
    std::forward<Work>(work)();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now() - start);
}

// For results: the error's text is shown when there is one.
template <typename T>
[[nodiscard]] testing::AssertionResult succeeded(const Result<T>& result) {
    return result ? testing::AssertionSuccess() : testing::AssertionFailure() << result.error().message;
}

}  // namespace podlane::net
