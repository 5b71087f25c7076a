// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <random>
#include <span>

#include "test/prog/harness/fixture.h"

// Good packets with random damage, through every program: whatever comes in, a verdict keeps its promise.
namespace podlane::prog {
namespace {

// An emulated machine takes milliseconds for one: $PODLANE_TEST_MUTATIONS says how many.
int damaged_packets_per_seed() {
    constexpr int usual = 400;
    const char* asked = std::getenv("PODLANE_TEST_MUTATIONS");
    return asked == nullptr ? usual : std::atoi(asked);
}

constexpr std::size_t shortest_damaged = 54;  // the kernel's minimum for a test run of what claims to be IPv6
constexpr std::size_t inner_ip = 64;          // offset of the inner IP header in a VXLAN frame
constexpr std::uint8_t tcp_syn_ack = tcp_flag::syn | tcp_flag::ack;

struct Seed {
    std::string name;
    At at;
    Bytes packet;
};
void PrintTo(const Seed& seed, std::ostream* out) {
    *out << seed.name;
}

Frame complaint(const Pod& from, Ipv4Address to, const Frame& about) {
    Frame error = from_pod(from, to, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(about);
    return error;
}

std::vector<Seed> seeds() {
    const Pod& web = pod("web");
    const Pod& api = pod("api");
    const auto from_n2 = [](const Frame& inner) { return encapsulated(inner, member("n2"), member("n1")); };
    const Frame host{.ethernet = {.destination = {}, .source = member("n1").vtep_mac},
                     .ip = {.source = n1_ip, .destination = api_ip},
                     .transport = Tcp{40000, 80, tcp_flag::syn},
                     .payload = pattern(64)};
    Bytes arp =
        bytes(Arp{.ethernet = {.destination = mac("ff:ff:ff:ff:ff:ff"), .source = web.mac, .type = ethertype_arp},
                  .sender_mac = web.mac,
                  .sender = web.address,
                  .target = address("10.244.1.1")});
    arp.resize(60);
    return {
        {"PodArp", from_web, arp},
        {"PodTcpToRemotePod", from_web, bytes(from_pod(web, api_ip, Tcp{40000, 80, tcp_flag::syn}))},
        {"PodUdpToLocalPod", from_web, bytes(from_pod(web, db_ip, Udp{5000, 53}))},
        {"PodEchoToOtherNode", from_web, bytes(from_pod(web, n3_ip, Icmp{.id = 7}))},
        {"PodErrorToRemotePod", from_web, bytes(complaint(web, api_ip, from_pod(api, web_ip, Udp{53, 5000})))},
        {"PodToOutside", from_web, bytes(from_pod(web, outside_ip, Tcp{40000, 443, tcp_flag::syn}))},
        {"PodToThisNode", from_web, bytes(from_pod(web, n1_ip, Udp{5000, 53}))},
        {"StackToPod", to_web, bytes(from_pod(api, web_ip, Tcp{80, 40000}))},
        {"StackToUplink", underlay_out, bytes(from_pod(web, outside_ip, Tcp{40000, 443}))},
        {"StackToOtherNode", underlay_out, bytes(from_pod(web, n2_ip, Udp{5000, 53}))},
        {"HostToOverlay", overlay_out, bytes(host)},
        {"PodToOverlay", overlay_out, bytes(from_pod(web, api_ip, Tcp{40000, 80}))},
        {"OverlayToPod", overlay_in, bytes(from_pod(api, web_ip, Tcp{80, 40000, tcp_syn_ack}))},
        {"TunnelTcp", underlay_in, from_n2(from_pod(api, web_ip, Tcp{40000, 80, tcp_flag::syn}))},
        {"TunnelUdp", underlay_in, from_n2(from_pod(api, web_ip, Udp{5000, 53}, 400))},
        {"TunnelError", underlay_in, from_n2(complaint(api, web_ip, from_pod(web, api_ip, Udp{53, 5000})))},
        {"TunnelToHost", underlay_in, from_n2(from_pod(api, n1_ip, Icmp{.id = 9}))},
    };
}

// --- damage ---

class Damage {
public:
    // The same for every run of a test of that name.
    explicit Damage(const std::string& name) {
        std::seed_seq seed(name.begin(), name.end());
        random_.seed(seed);
    }

    [[nodiscard]] Bytes of(const Bytes& good) {
        Bytes packet = good;
        const unsigned changes = 1 + below(4);
        for (unsigned i = 0; i < changes; ++i) {
            change(packet);
        }
        if (below(2) == 0) {
            repair_checksum(packet, 14);
        }
        if (below(2) == 0) {
            repair_checksum(packet, inner_ip);
        }
        return packet;
    }

private:
    [[nodiscard]] unsigned below(std::size_t limit) {
        return static_cast<unsigned>(std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_));
    }
    // Mostly in the headers, where it matters.
    [[nodiscard]] std::size_t position(const Bytes& packet) {
        return below(below(4) == 0 ? packet.size() : std::min<std::size_t>(packet.size(), 128));
    }
    void change(Bytes& packet) {
        constexpr std::uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        switch (below(6)) {
            case 0:
            case 1:
                packet[position(packet)] ^= static_cast<std::uint8_t>(1U << below(8));
                break;
            case 2:
                packet[position(packet)] = static_cast<std::uint8_t>(below(256));
                break;
            case 3:
                packet[position(packet)] = edges[below(std::size(edges))];
                break;
            case 4:
                packet.resize(shortest_damaged + below(packet.size() - shortest_damaged + 1));
                break;
            default:
                packet.resize(packet.size() + below(64), 0xee);
                break;
        }
    }
    // So that more than the checksum's own check is reached.
    static void repair_checksum(Bytes& packet, std::size_t offset) {
        if (packet.size() >= offset + 20) {
            write16(packet, offset + 10, 0);
            write16(packet, offset + 10, internet_checksum(std::span(packet).subspan(offset, 20)));
        }
    }

    std::mt19937 random_;
};

// --- promises ---

bool starts_with(const std::string& text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

std::uint64_t packets(const Counted& counted, std::string_view kind) {
    std::uint64_t sum = 0;
    for (const auto& [name, count] : counted) {
        sum += starts_with(name, kind) ? count.packets : 0;
    }
    return sum;
}

bool is_good_ipv4(const Bytes& packet, std::size_t offset) {
    return packet.size() >= offset + 20 && packet[offset] == 0x45 &&
           internet_checksum(std::span(packet).subspan(offset, 20)) == 0 && read16(packet, offset + 2) >= 20 &&
           offset + read16(packet, offset + 2) <= packet.size() && (read16(packet, offset + 6) & 0x3fff) == 0;
}

bool has_ip(const Bytes& packet, std::size_t offset, Ipv4Address expected) {
    return read16(packet, offset) == expected.host() >> 16U &&
           read16(packet, offset + 2) == (expected.host() & 0xffffU);
}

bool has_mac(const Bytes& packet, std::size_t offset, const MacAddress& expected) {
    return std::equal(expected.bytes().begin(), expected.bytes().end(),
                      packet.begin() + static_cast<std::ptrdiff_t>(offset));
}

// A router forwarded it: a good header before and after, TTL one less.
testing::AssertionResult is_routed(const Bytes& in, std::size_t in_ip, const Bytes& out, std::size_t out_ip) {
    if (!is_good_ipv4(in, in_ip)) {
        return testing::AssertionFailure() << "forwarded with a bad IP header";
    }
    if (!is_good_ipv4(out, out_ip)) {
        return testing::AssertionFailure() << "forwarded, and the IP header became bad";
    }
    if (in[in_ip + 8] < 2 || out[out_ip + 8] != in[in_ip + 8] - 1) {
        return testing::AssertionFailure()
               << "TTL " << unsigned{in[in_ip + 8]} << " became " << unsigned{out[out_ip + 8]};
    }
    return testing::AssertionSuccess();
}

testing::AssertionResult keeps_pods_promise(const Bytes& in, const Bytes& out) {
    if (read16(in, 12) == ethertype_arp) {
        return has_mac(out, 0, pod("web").mac) ? testing::AssertionSuccess()
                                               : testing::AssertionFailure() << "an ARP reply to somebody else";
    }
    if (!has_mac(in, 6, pod("web").mac) || !has_ip(in, 26, web_ip)) {
        return testing::AssertionFailure() << "a spoofed source was forwarded";
    }
    return is_routed(in, 14, out, out.size() == in.size() ? 14 : inner_ip);
}

Ipv4Address source_of(const Bytes& packet, std::size_t ip) {
    return Ipv4Address::from_host(static_cast<std::uint32_t>(read16(packet, ip + 12)) << 16U | read16(packet, ip + 14));
}

testing::AssertionResult is_delivered(const Bytes& in, std::size_t in_ip, const Bytes& out) {
    for (const char* name : {"web", "db", "small"}) {
        if (has_ip(out, 30, pod(name).address) && has_mac(out, 0, pod(name).mac) &&
            has_mac(out, 6, pod(name).host_mac)) {
            return is_routed(in, in_ip, out, 14);
        }
    }
    return testing::AssertionFailure() << "delivered to no pod";
}

// Without a tunnel key, which a test run cannot have.
testing::AssertionResult keeps_overlays_promise(const Bytes& in, const Bytes& out) {
    const auto source = source_of(in, 14);
    for (const char* name : {"n2", "n3", "n4", "n5", "n6"}) {
        const Member& peer = member(name);
        if (source == peer.address || peer.pod_cidr.contains(source)) {
            return is_delivered(in, 14, out);
        }
    }
    return testing::AssertionFailure() << "inner source " << source.to_string() << " was accepted";
}

testing::AssertionResult keeps_tunnels_promise(const Bytes& in, const Bytes& out) {
    const Bytes vxlan_header{0x08, 0, 0, 0, 0, 0, 1, 0};
    const Member& n2 = member("n2");
    const auto inner_source = source_of(in, inner_ip);
    if (!has_mac(in, 0, underlay_mac("n1")) || !is_good_ipv4(in, 14) || !has_ip(in, 26, n2.address) ||
        !has_ip(in, 30, n1_ip) || in[23] != 17 || read16(in, 36) != overlay_port ||
        read16(in, 38) + 20 != read16(in, 16) ||
        !std::equal(vxlan_header.begin(), vxlan_header.end(), in.begin() + 42)) {
        return testing::AssertionFailure() << "bad outer headers were accepted";
    }
    if (inner_ip + read16(in, inner_ip + 2) > 14U + read16(in, 16)) {
        return testing::AssertionFailure() << "the inner packet ends behind the outer one";
    }
    if (inner_source != n2.address && !n2.pod_cidr.contains(inner_source)) {
        return testing::AssertionFailure() << "inner source " << inner_source.to_string() << " was accepted";
    }
    return is_delivered(in, inner_ip, out);
}

// Between nodes a pod's packet travels encapsulated, whole as it left the stack.
testing::AssertionResult keeps_uplinks_promise(const Bytes& in, const Bytes& out) {
    return has_ip(in, 26, web_ip) && out == in ? testing::AssertionSuccess()
                                               : testing::AssertionFailure() << "sent into the overlay";
}

testing::AssertionResult keeps_the_hooks_promise(Hook hook, const Bytes& in, const Bytes& out) {
    switch (hook) {
        case Hook::from_pod:
            return keeps_pods_promise(in, out);
        case Hook::from_underlay:
            return keeps_tunnels_promise(in, out);
        case Hook::from_overlay:
            return keeps_overlays_promise(in, out);
        case Hook::to_underlay:
            return keeps_uplinks_promise(in, out);
        default:
            return testing::AssertionFailure() << "redirected where nothing is";
    }
}

bool has_vtep_source(const Bytes& packet) {
    return std::ranges::equal(member("n1").vtep_mac.bytes(), std::span(packet).subspan(6, 6));
}

testing::AssertionResult keeps_its_promise(const At& at, const Bytes& in, const Outcome& out, const Counted& counted) {
    const auto expect = [&](bool held, const char* promise) {
        return held ? testing::AssertionSuccess()
                    : testing::AssertionFailure() << promise << ": " << to_string(out.verdict) << ", counted "
                                                  << testing::PrintToString(counted);
    };
    const std::uint64_t all = packets(counted, "");
    switch (out.verdict) {
        case Verdict::drop:
            return expect(out.packet == in && all == 1 && packets(counted, "drop") == 1,
                          "a dropped packet counts as one drop");
        case Verdict::redirect:
            if (all != 1 || packets(counted, "path") != 1) {
                return expect(false, "a redirected packet counts for one path");
            }
            return keeps_the_hooks_promise(at.hook, in, out.packet);
        case Verdict::pass:
            if (at.hook == Hook::to_overlay) {
                Bytes expected = out.packet;
                std::copy_n(in.begin(), 12, expected.begin());
                return expect(
                    expected == in && has_vtep_source(out.packet) && all == 1 && packets(counted, "path") == 1,
                    "what leaves by the overlay device changes but for the MACs, and is counted");
            }
            return expect(out.packet == in && all <= 1, "a passed packet is untouched");
    }
    return expect(false, "a verdict of tc");
}

class Mutation : public ProgTest, public testing::WithParamInterface<Seed> {};

TEST_P(Mutation, EveryVerdictKeepsItsPromise) {
    const auto& [name, at, good] = GetParam();
    Damage damage(name);
    for (int i = 0; i < damaged_packets_per_seed(); ++i) {
        const Bytes packet = damage.of(good);
        const Outcome out = node().run(at, packet);
        ASSERT_TRUE(keeps_its_promise(at, packet, out, node().counted()))
            << "packet " << i << ": " << fmt::format("{:02x}", fmt::join(packet, ""));
    }
}

TEST_P(Mutation, HooksBehindTheStack_NeverDropOrChange) {
    const Bytes& good = GetParam().packet;
    Damage damage(GetParam().name + " behind the stack");
    for (int i = 0; i < damaged_packets_per_seed() / 4; ++i) {
        const Bytes packet = damage.of(good);
        ASSERT_TRUE(leaves_alone(to_web, packet));
        const Outcome out = node().run(underlay_out, packet);
        ASSERT_NE(out.verdict, Verdict::drop);
        ASSERT_TRUE(keeps_its_promise(underlay_out, packet, out, node().counted()));
    }
}

// What both programs judge: UDP to the overlay's port at this node's address, to this node's MAC.
bool is_tunnel_packet(const Bytes& packet) {
    return has_mac(packet, 0, underlay_mac("n1")) && read16(packet, 12) == ethertype_ipv4 && packet[14] == 0x45 &&
           packet[23] == 17 && (read16(packet, 20) & 0x3fff) == 0 && has_ip(packet, 30, n1_ip) &&
           read16(packet, 36) == overlay_port;
}

// The guard's counters for what from-underlay dropped; ECN is judged at tc alone.
Counted as_the_guard_counts(const Counted& at_tc) {
    Counted counted;
    for (const auto& [name, count] : at_tc) {
        if (starts_with(name, "drop ") && !starts_with(name, "drop ecn-congested")) {
            counted[name.substr(0, name.rfind(' ')) + " underlay-guard"] = count;
        }
    }
    return counted;
}

class GuardMutation : public ProgTest, public testing::WithParamInterface<Seed> {};

TEST_P(GuardMutation, Guard_RefusesWhatFromUnderlayRefuses) {
    Damage damage(GetParam().name + " at the guard");
    for (int i = 0; i < damaged_packets_per_seed(); ++i) {
        const Bytes packet = damage.of(GetParam().packet);
        static_cast<void>(node().run(underlay_in, packet));
        const Counted at_tc = node().counted();
        if (!has_mac(packet, 0, underlay_mac("n1"))) {
            continue;  // the driver does not know whose MAC it is
        }
        const Counted expected = is_tunnel_packet(packet) ? as_the_guard_counts(at_tc) : Counted{};
        for (const Guard& guard : guards()) {
            ASSERT_TRUE(guard.comes_to(packet, expected.empty() ? XdpVerdict::pass : XdpVerdict::drop, expected))
                << "packet " << i << ": " << fmt::format("{:02x}", fmt::join(packet, ""));
        }
    }
}

std::vector<Seed> tunnel_seeds() {
    std::vector<Seed> some = seeds();
    std::erase_if(some, [](const Seed& seed) { return seed.at.hook != Hook::from_underlay; });
    return some;
}

INSTANTIATE_TEST_SUITE_P(Seeds, GuardMutation, testing::ValuesIn(tunnel_seeds()),
                         [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(Seeds, Mutation, testing::ValuesIn(seeds()), [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace podlane::prog
