// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/nat.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <numeric>

#include "maps/base/monotonic.h"
#include "test/prog/harness/devices.h"

namespace podlane::prog {
namespace {

constexpr std::size_t source_port_offset = 34;
constexpr std::size_t echo_id_offset = 38;
constexpr std::size_t protocol_offset = 23;

template <typename... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};

nat_config config_with(std::uint32_t at_once) {
    nat_config config = nat_config_for(nat_range.first, nat_range.last);
    config.at_once = at_once;
    return config;
}

template <typename Spec>
void clear(Map<Spec> map) {
    std::vector<typename Spec::Key> keys;
    for (const auto& [key, value] : must(map.entries())) {
        keys.push_back(key);
    }
    must(map.erase_all(keys));
}

void set_source_port(Transport& transport, std::uint16_t port) {
    std::visit(Overloaded{[&](Udp& udp) { udp.source_port = port; }, [&](Tcp& tcp) { tcp.source_port = port; },
                          [&](Icmp& icmp) { icmp.id = port; }, [](OtherProtocol&) {}},
               transport);
}
void set_destination_port(Transport& transport, std::uint16_t port) {
    std::visit(
        Overloaded{[&](Udp& udp) { udp.destination_port = port; }, [&](Tcp& tcp) { tcp.destination_port = port; },
                   [&](Icmp& icmp) { icmp.id = port; }, [](OtherProtocol&) {}},
        transport);
}

}  // namespace

std::uint16_t source_port(const Frame& frame) {
    return std::visit(
        Overloaded{[](const Udp& udp) { return udp.source_port; }, [](const Tcp& tcp) { return tcp.source_port; },
                   [](const Icmp& icmp) { return icmp.id; }, [](const OtherProtocol&) { return std::uint16_t{0}; }},
        frame.transport);
}
std::uint16_t destination_port(const Frame& frame) {
    return std::visit(
        Overloaded{[](const Udp& udp) { return udp.destination_port; },
                   [](const Tcp& tcp) { return tcp.destination_port; }, [](const Icmp& icmp) { return icmp.id; },
                   [](const OtherProtocol&) { return std::uint16_t{0}; }},
        frame.transport);
}
std::uint8_t protocol_of(const Frame& frame) {
    return bytes(frame).at(protocol_offset);
}
std::uint16_t source_port(const Bytes& packet) {
    return read16(packet, packet.at(protocol_offset) == IPPROTO_ICMP ? echo_id_offset : source_port_offset);
}

// What the look-ups in the kernel's routes need: addresses, a way out, a neighbour that is known.
void connect_underlay() {
    static const bool connected = [] {
        std::ofstream("/proc/sys/net/ipv4/ip_forward") << "1\n";
        must(bring_up(underlay_device("n1")));
        must(
            run_ip(fmt::format("address add {0}/24 dev {1}\n"
                               "neighbour add {2} lladdr 52:54:00:00:00:fe dev {1} nud permanent\n"
                               "route add default via {2} dev {1}\n"
                               "route add unreachable 198.18.0.0/15\n"
                               "route add 192.0.2.0/24 via {2} dev {1} mtu lock 600\n",
                               n1_ip, underlay_device("n1"), gateway_ip)));
        for (const char* pod : {"web", "db", "small"}) {
            must(bring_up(pod));
        }
        return true;
    }();
    static_cast<void>(connected);
}

nat_device uplink_of_n1(unsigned flags, Ipv4Address address, unsigned mtu) {
    nat_device device{.address = address.wire(), .flags = flags, .mtu = mtu, .mac = {}, .shim_mac = {}};
    std::ranges::copy(underlay_mac("n1").bytes(), device.mac);
    return device;
}

Frame forwarded(Frame frame) {
    frame.ethernet = {.destination = mac("52:54:00:00:00:fe"), .source = underlay_mac("n1")};
    frame.ip.ttl -= 1;
    return frame;
}
Frame from(Frame frame, Ipv4Address source, std::uint16_t port) {
    frame.ip.source = source;
    set_source_port(frame.transport, port);
    return frame;
}
Frame to(Frame frame, Ipv4Address destination, std::uint16_t port) {
    frame.ip.destination = destination;
    set_destination_port(frame.transport, port);
    return frame;
}

Frame outside_sends(Ipv4Address to, const Transport& transport, std::size_t payload_length) {
    return {.ethernet = {.destination = underlay_mac("n1"), .source = mac("52:54:00:00:00:fe")},
            .ip = {.source = outside_ip, .destination = to, .ttl = 57},
            .transport = transport,
            .payload = pattern(payload_length)};
}

Transport answer_to(const Transport& transport) {
    return std::visit(Overloaded{[](const Udp& udp) -> Transport { return Udp{udp.destination_port, udp.source_port}; },
                                 [](const Tcp& tcp) -> Transport {
                                     return Tcp{tcp.destination_port, tcp.source_port,
                                                std::uint8_t((tcp.flags & tcp_flag::syn) | tcp_flag::ack)};
                                 },
                                 [](const Icmp& icmp) -> Transport {
                                     return Icmp{
                                         .type = icmp_type::echo_reply, .id = icmp.id, .sequence = icmp.sequence};
                                 },
                                 [](const OtherProtocol& other) -> Transport { return other; }},
                      transport);
}

Node& NatTest::node() {
    static Node node("n1", config_with(0), "nat");
    return node;
}
Node& NatTest::hasty_node() {
    static Node node("n1", config_with(1), "nat-at-once");
    return node;
}

void NatTest::reset_node(Node& of) {
    of.reset();
    clear(map<spec::nat_by_flow>(of));
    clear(map<spec::nat_by_reply>(of));
    clear(map<spec::nat_ports_by_destination>(of));
    clear(map<spec::nat_flows_by_pod>(of));
    clear(map<spec::nat_fragments>(of));
    std::vector<std::uint32_t> pages(NAT_PORT_PAGES);
    std::iota(pages.begin(), pages.end(), 0U);
    must(map<spec::nat_given_ports>(of).update_all(pages, std::vector<nat_port_page>(pages.size())));
    must(map<spec::nat_address_by_device>(of).update(ifindex_of(underlay_device("n1")), uplink_of_n1()));
}

void NatTest::SetUp() {
    reset_node(node());
    reset_node(hasty_node());
    connect_underlay();
}

testing::AssertionResult NatTest::drops(const At& at, const Bytes& packet, drop_reason reason) {
    return comes_to(node(), at, packet, {Verdict::drop, packet, at.mark},
                    once(counter_of(reason, direction_of(at.hook)), packet));
}
testing::AssertionResult NatTest::hands_over(const At& at, const Bytes& packet, handover_reason reason) {
    return comes_to(node(), at, packet, {Verdict::pass, packet, at.mark},
                    once(counter_of(reason, direction_of(at.hook)), packet));
}
testing::AssertionResult NatTest::leaves_alone(const At& at, const Bytes& packet) {
    return comes_to(node(), at, packet, {Verdict::pass, packet, at.mark}, {});
}
testing::AssertionResult NatTest::passes(const At& at, const Bytes& packet, const Bytes& expected, forward_path path) {
    return comes_to(node(), at, packet, {Verdict::pass, expected, at.mark}, once(counter_of(path), packet));
}
testing::AssertionResult NatTest::redirects(const At& at, const Bytes& packet, const Bytes& expected, forward_path path,
                                            std::uint32_t mark) {
    return comes_to(node(), at, packet, {Verdict::redirect, expected, mark}, once(counter_of(path), packet));
}

Outcome NatTest::goes_out(const Frame& sent) {
    const auto pod = std::ranges::find(pods(), sent.ip.source, &Pod::address);
    Outcome out = node().run({Hook::from_pod, pod->name}, bytes(sent));
    if (out.verdict == Verdict::pass) {
        out = node().run(underlay_out, bytes(forwarded(sent)));
    } else if (out.verdict == Verdict::redirect) {
        const Bytes macs = bytes(forwarded(sent));
        std::copy(macs.begin(), macs.begin() + 12, out.packet.begin());  // neighbour output writes them
        out.verdict = Verdict::pass;
    }
    node().forget_counters();
    return out;
}

std::uint16_t NatTest::leaves(const Frame& sent) {
    const Outcome out = goes_out(sent);
    const std::uint16_t port = source_port(out.packet);
    EXPECT_EQ(out.verdict, Verdict::pass);
    EXPECT_TRUE(same_packet(bytes(from(forwarded(sent), n1_ip, port)), out.packet));
    return port;
}

flow_key NatTest::flow_of(const Frame& sent) {
    flow_key key{};
    key.pod_address = sent.ip.source.wire();
    key.remote_address = sent.ip.destination.wire();
    key.pod_port = htons(source_port(sent));
    key.remote_port = htons(destination_port(sent));
    key.protocol = protocol_of(sent);
    return key;
}

std::optional<nat_entry> NatTest::entry_of(const Frame& sent) {
    return must(map<spec::nat_by_flow>().lookup(flow_of(sent)));
}

void NatTest::age(const Frame& sent, std::chrono::seconds idle) {
    auto entry = entry_of(sent).value();
    entry.last_seen = static_cast<__u64>(monotonic_ns() - idle.count() * ns_per_second);
    must(map<spec::nat_by_flow>().update(flow_of(sent), entry));
}

std::size_t NatTest::translations() {
    return must(map<spec::nat_by_flow>().entries()).size();
}
std::size_t NatTest::claims() {
    return must(map<spec::nat_by_reply>().entries()).size();
}
std::int64_t NatTest::flows_of(Ipv4Address pod) {
    const auto flows = must(map<spec::nat_flows_by_pod>().lookup(pod.wire()));
    return flows ? flows->flows : 0;
}

std::size_t NatTest::sweep(Node& of, std::optional<Ipv4Address> address) {
    return sweep(of, nat_sweep_order{.address = address ? address->wire() : 0, .unanswered = 0, .pad = {}});
}

std::size_t NatTest::sweep(Node& of, const nat_sweep_order& order) {
    constexpr std::size_t most_at_once = NAT_SWEEP_MAX;
    const auto entries = must(map<spec::nat_by_flow>(of).entries());
    std::size_t removed = 0;
    for (std::size_t done = 0; done < entries.size(); done += most_at_once) {
        Bytes keys(14);
        std::memcpy(keys.data(), &order, sizeof(order));
        for (std::size_t i = done; i < std::min(done + most_at_once, entries.size()); ++i) {
            const auto key = std::as_bytes(std::span(&entries[i].first, 1));
            for (const std::byte byte : key) {
                keys.push_back(static_cast<std::uint8_t>(byte));
            }
        }
        removed += static_cast<std::size_t>(must(run_program(of.nat_sweep_fd(), keys, {})).verdict);
    }
    return removed;
}

}  // namespace podlane::prog
