// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "maps/nat_config.h"
#include "maps/schema/nat_sweep.h"
#include "test/prog/harness/fixture.h"

// n1 again, as a node that translates what its pods send to the outside.
//
//   web ------- from-pod ------ stack ------ to-underlay ------ eth1 ---- 192.168.100.254 ---- outside
//   10.244.1.5                              192.168.100.1                                     203.0.113.10
//        <----------------- redirect_peer ------------------- from-underlay
namespace podlane::prog {

struct Ports {
    std::uint16_t first;
    std::uint16_t last;
    [[nodiscard]] constexpr std::size_t size() const { return std::size_t{last} - first + 1U; }
    [[nodiscard]] constexpr bool contains(std::uint16_t port) const { return port >= first && port <= last; }
};
inline constexpr Ports nat_range{20000, 20063};
inline const Ipv4Address gateway_ip = address("192.168.100.254");
inline const Ipv4Address router_ip = address("198.51.100.7");  // somewhere on the way
inline constexpr std::uint16_t kept_port = 20007;              // lies in the range
inline constexpr std::uint16_t far_port = 40000;               // does not

// Ports of a frame's transport; of ICMP echo the identifier, as both.
[[nodiscard]] std::uint16_t source_port(const Frame& frame);
[[nodiscard]] std::uint16_t destination_port(const Frame& frame);
[[nodiscard]] std::uint8_t protocol_of(const Frame& frame);
// Read from what came out; of a frame without IPv4 options.
[[nodiscard]] std::uint16_t source_port(const Bytes& packet);

// Brings the eth1 and the pods' links of a node that is there up, with addresses and routes, once.
void connect_underlay();
// n1's eth1, as the agent describes it.
[[nodiscard]] nat_device uplink_of_n1(unsigned flags = 0, Ipv4Address address = n1_ip, unsigned mtu = 1500);

// The packet when the stack has forwarded it onto the underlay.
[[nodiscard]] Frame forwarded(Frame frame);
// The same with its source translated, and with its destination translated back.
[[nodiscard]] Frame from(Frame frame, Ipv4Address source, std::uint16_t port);
[[nodiscard]] Frame to(Frame frame, Ipv4Address destination, std::uint16_t port);
// What the outside sends to an address.
[[nodiscard]] Frame outside_sends(Ipv4Address to, const Transport& transport, std::size_t payload_length = 32);
// The answer to a packet as it left the node: ends exchanged.
[[nodiscard]] Transport answer_to(const Transport& transport);

class NatTest : public testing::Test {
protected:
    void SetUp() override;

    // Translates after the stack; and one that knows the Services' networks, and so translates at once.
    [[nodiscard]] static Node& node();
    [[nodiscard]] static Node& hasty_node();

    template <typename Spec>
    [[nodiscard]] static Map<Spec> map(Node& of = node()) {
        return must(Map<Spec>::open(of.pins().map(Spec::name)));
    }

    [[nodiscard]] static testing::AssertionResult drops(const At& at, const Bytes& packet, drop_reason reason);
    [[nodiscard]] static testing::AssertionResult hands_over(const At& at, const Bytes& packet, handover_reason reason);
    [[nodiscard]] static testing::AssertionResult leaves_alone(const At& at, const Bytes& packet);
    // Passed on as `expected`, the path counted.
    [[nodiscard]] static testing::AssertionResult passes(const At& at, const Bytes& packet, const Bytes& expected,
                                                         forward_path path);
    [[nodiscard]] static testing::AssertionResult redirects(const At& at, const Bytes& packet, const Bytes& expected,
                                                            forward_path path, std::uint32_t mark = 0);

    // A pod's packet on its way out, through a stack that leaves its tuple alone if it goes there; returns the port
    // that it leaves by.
    static std::uint16_t leaves(const Frame& sent);
    // The same, expecting nothing: dropped, or passed as it is on the wire.
    static Outcome goes_out(const Frame& sent);

    [[nodiscard]] static flow_key flow_of(const Frame& sent);
    [[nodiscard]] static std::optional<nat_entry> entry_of(const Frame& sent);
    // As if nothing of the flow had been seen for so long.
    static void age(const Frame& sent, std::chrono::seconds idle);
    [[nodiscard]] static std::size_t translations();
    [[nodiscard]] static std::size_t claims();
    [[nodiscard]] static std::int64_t flows_of(Ipv4Address pod);
    // Runs nat_sweep over every entry; returns how many it removed. `address`: whose translations go whatever their
    // age.
    static std::size_t sweep(Node& of = node(), std::optional<Ipv4Address> address = {});
    static std::size_t sweep(Node& of, const nat_sweep_order& order);
    // No flows, no translations; counters at zero.
    static void reset_node(Node& of);
};

}  // namespace podlane::prog
