// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/nat.h"

// ICMP errors about translated flows: the packet that they quote is translated with them, and every checksum that
// covers it is right again. The expected packets are built from scratch.
namespace podlane::prog {
namespace {

struct About {
    std::string name;
    Transport transport;
    std::size_t quoted_length;  // behind the quoted IP header
};

constexpr std::size_t least = 8;  // RFC 792
constexpr std::size_t whole = 1000;

Bytes quotation(const Frame& packet, std::size_t length) {
    Bytes out = ip_bytes(packet);
    out.resize(std::min<std::size_t>(out.size(), 20 + length));
    return out;
}

class NatIcmpError : public NatTest, public testing::WithParamInterface<About> {
protected:
    [[nodiscard]] static Frame sent(std::uint16_t port) {
        return from(from_pod(pod("web"), outside_ip, GetParam().transport), web_ip, port);
    }
    [[nodiscard]] static Frame error(Frame around, const Icmp& icmp, const Frame& about) {
        around.transport = icmp;
        around.payload = quotation(about, GetParam().quoted_length);
        return around;
    }
};

INSTANTIATE_TEST_SUITE_P(Quoting, NatIcmpError,
                         testing::Values(About{"Tcp", Tcp{0, 80}, least}, About{"TcpWhole", Tcp{0, 80}, whole},
                                         About{"Udp", Udp{0, 4000}, least}, About{"UdpWhole", Udp{0, 4000}, whole},
                                         About{"UdpWithoutChecksum", Udp{0, 4000, {}, std::uint16_t{0}}, least},
                                         About{"Echo", Icmp{.id = 0, .sequence = 3}, least},
                                         About{"EchoWhole", Icmp{.id = 0, .sequence = 3}, whole}),
                         [](const auto& test) { return test.param.name; });

const std::vector<Icmp> errors{
    {.type = icmp_type::unreachable, .code = 3},                    // port
    {.type = icmp_type::unreachable, .code = 4, .sequence = 1400},  // fragmentation needed
    {.type = icmp_type::time_exceeded, .code = 0},                  // traceroute
    {.type = icmp_type::parameter_problem, .code = 0, .id = 0x0500},
};

TEST_P(NatIcmpError, FromARouter_ReachesThePodQuotingWhatThePodSent) {
    for (const std::uint16_t port : {kept_port, far_port}) {
        const std::uint16_t nat_port = leaves(sent(port));
        const Frame on_the_wire = from(forwarded(sent(port)), n1_ip, nat_port);
        for (const Icmp& icmp : errors) {
            Frame around = outside_sends(n1_ip, icmp);
            around.ip.source = router_ip;
            const Frame received = error(around, icmp, on_the_wire);
            Frame expected = error(around, icmp, forwarded(sent(port)));
            expected.ip.destination = web_ip;
            EXPECT_TRUE(
                redirects(underlay_in, bytes(received), bytes(delivered(expected, pod("web"))), PATH_OUTSIDE_TO_POD));
        }
    }
}

TEST_P(NatIcmpError, FromARouterAboutAStackFlow_GoesUpTheStack) {
    const Frame out = forwarded(sent(kept_port));
    EXPECT_EQ(node().run(underlay_out, bytes(out)).verdict, Verdict::pass);
    node().forget_counters();
    Frame around = outside_sends(n1_ip, errors[1]);
    around.ip.source = router_ip;
    Frame expected = error(around, errors[1], out);
    expected.ip.destination = web_ip;
    EXPECT_TRUE(passes(underlay_in, bytes(error(around, errors[1], from(out, n1_ip, kept_port))), bytes(expected),
                       PATH_OUTSIDE_TO_STACK));
}

TEST_P(NatIcmpError, FromThePod_LeavesQuotingWhatTheOutsideSent) {
    for (const std::uint16_t port : {kept_port, far_port}) {
        const std::uint16_t nat_port = leaves(sent(port));
        const Frame reply = outside_sends(n1_ip, answer_to(from(sent(port), n1_ip, nat_port).transport));
        const Frame seen = delivered(to(reply, web_ip, port), pod("web"));
        Frame wire = reply;
        wire.ip.ttl -= 1;
        for (const Icmp& icmp : errors) {
            const Frame refused = error(from_pod(pod("web"), outside_ip, icmp), icmp, seen);
            Frame expected = error(from_pod(pod("web"), outside_ip, icmp), icmp, wire);
            expected.ip.source = n1_ip;
            // Where the stack is asked first, too.
            EXPECT_TRUE(
                passes(underlay_out, bytes(forwarded(refused)), bytes(forwarded(expected)), PATH_STACK_TO_OUTSIDE));
            expected.ip.ttl -= 1;
            EXPECT_TRUE(redirects(from_web, bytes(refused), bytes(expected), PATH_POD_TO_OUTSIDE, fast_path_mark));
        }
    }
}

// The host forwards what an L3 device got, or what the stack translates as well, and may have to refuse it.
TEST_P(NatIcmpError, FromTheHost_LeavesQuotingWhatTheOutsideSent) {
    for (const std::uint16_t port : {kept_port, far_port}) {
        const std::uint16_t nat_port = leaves(sent(port));
        const Frame reply = outside_sends(n1_ip, answer_to(from(sent(port), n1_ip, nat_port).transport));
        for (const Ipv4Address host : {n1_ip, address("192.168.100.77")}) {
            for (const Icmp& icmp : errors) {
                Frame around = forwarded(from_pod(pod("web"), outside_ip, icmp));
                around.ip.source = host;
                EXPECT_TRUE(passes(underlay_out, bytes(error(around, icmp, to(reply, web_ip, port))),
                                   bytes(error(around, icmp, reply)), PATH_HOST_TO_OUTSIDE));
                EXPECT_TRUE(leaves_alone(underlay_out, bytes(error(around, icmp, reply)))) << "about its own";
            }
        }
        EXPECT_EQ(translations(), 1U);
        reset_node(node());
    }
}

class NatIcmpQuotation : public NatTest {};

// RFC 768: zero would say that there is none.
TEST_F(NatIcmpQuotation, WhoseUdpChecksumComesToZero_HasTheOtherForm) {
    constexpr std::size_t udp_checksum = 14 + 20 + 6;
    Frame sent = from_pod(pod("web"), outside_ip, Udp{far_port, 4000});
    for (std::uint16_t filler = 0; read16(bytes(sent), udp_checksum) != 0xffff; ++filler) {
        write16(sent.payload, 0, filler);
    }
    const std::uint16_t nat_port = leaves(sent);
    Frame error = outside_sends(n1_ip, errors[0]);
    error.payload = quotation(from(forwarded(sent), n1_ip, nat_port), whole);
    Frame expected = to(error, web_ip, 0);
    expected.payload = quotation(forwarded(sent), whole);
    EXPECT_TRUE(redirects(underlay_in, bytes(error), bytes(delivered(expected, pod("web"))), PATH_OUTSIDE_TO_POD));
}

TEST_P(NatIcmpError, AboutNoTranslation_IsTheHostsOrDoesNotLeave) {
    Frame around = outside_sends(n1_ip, errors[0]);
    around.ip.source = router_ip;
    EXPECT_TRUE(
        leaves_alone(underlay_in, bytes(error(around, errors[0], from(forwarded(sent(kept_port)), n1_ip, kept_port)))));
    const Frame seen = outside_sends(web_ip, answer_to(sent(kept_port).transport));
    const Frame refused = error(from_pod(pod("web"), outside_ip, errors[0]), errors[0], seen);
    EXPECT_TRUE(hands_over(from_web, bytes(refused), HANDOVER_OUTSIDE));
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(refused)), DROP_NAT_NOT_OPENED));
}

// Its quotation names a translation, but whoever sent it did not hear of that from our packet.
TEST_P(NatIcmpError, ToAnotherAddressThanItQuotes_IsTheHosts) {
    const std::uint16_t nat_port = leaves(sent(kept_port));
    Frame around = outside_sends(address("192.168.100.77"), errors[0]);
    around.ip.source = router_ip;
    EXPECT_TRUE(
        leaves_alone(underlay_in, bytes(error(around, errors[0], from(forwarded(sent(kept_port)), n1_ip, nat_port)))));
}

// It could use the other pod's address otherwise, and turn its packets to where the error goes.
TEST_P(NatIcmpError, OfAPodAboutAnotherPodsFlow_DoesNotLeave) {
    leaves(sent(kept_port));
    const auto before = entry_of(sent(kept_port));
    const Frame seen = outside_sends(web_ip, answer_to(sent(kept_port).transport));
    for (const Ipv4Address target : {outside_ip, router_ip}) {
        const Frame forged = error(from_pod(pod("db"), target, errors[0]), errors[0], seen);
        EXPECT_TRUE(hands_over({Hook::from_pod, "db"}, bytes(forged), HANDOVER_OUTSIDE));
        EXPECT_TRUE(drops(underlay_out, bytes(forwarded(forged)), DROP_NAT_NOT_OPENED));
    }
    EXPECT_EQ(entry_of(sent(kept_port))->way, before->way);
    must(map<spec::networks_by_prefix>().update({32, router_ip.wire()}, {NETWORK_UNTRANSLATED}));
    const Frame allowed = error(from_pod(pod("db"), router_ip, errors[0]), errors[0], seen);
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(forwarded(allowed)))) << "never with another's address";
}

TEST_P(NatIcmpError, FromThePod_GoesItsOwnWayAndLeavesTheFlowsAlone) {
    leaves(sent(kept_port));
    EXPECT_EQ(node().run(from_web, bytes(sent(kept_port))).verdict, Verdict::redirect);
    nat_entry entry = entry_of(sent(kept_port)).value();
    ASSERT_NE(entry.way, 0U);
    entry.way ^= 1U;  // another one shows who wrote it
    must(map<spec::nat_by_flow>().update(flow_of(sent(kept_port)), entry));
    const Frame reply = outside_sends(n1_ip, answer_to(from(sent(kept_port), n1_ip, kept_port).transport));
    Frame wire = reply;
    wire.ip.ttl -= 1;
    for (const Ipv4Address target : {outside_ip, router_ip}) {
        const Frame refused = error(from_pod(pod("web"), target, errors[0]), errors[0],
                                    delivered(to(reply, web_ip, kept_port), pod("web")));
        Frame expected = error(from_pod(pod("web"), target, errors[0]), errors[0], wire);
        expected.ip.source = n1_ip;
        expected.ip.ttl -= 1;
        node().forget_counters();
        EXPECT_TRUE(redirects(from_web, bytes(refused), bytes(expected), PATH_POD_TO_OUTSIDE, fast_path_mark));
        EXPECT_EQ(entry_of(sent(kept_port))->way, entry.way);
    }
    EXPECT_TRUE(hands_over(from_web,
                           bytes(error(from_pod(pod("web"), address("198.18.0.1"), errors[0]), errors[0],
                                       delivered(to(reply, web_ip, kept_port), pod("web")))),
                           HANDOVER_OUTSIDE))
        << "there is no route to where it goes";
}

TEST_P(NatIcmpError, KeepsNoTranslation) {
    leaves(sent(kept_port));
    age(sent(kept_port), std::chrono::seconds(18));
    const auto before = entry_of(sent(kept_port))->last_seen;
    Frame around = outside_sends(n1_ip, errors[0]);
    around.ip.source = router_ip;
    const Frame received = error(around, errors[0], from(forwarded(sent(kept_port)), n1_ip, kept_port));
    EXPECT_EQ(node().run(underlay_in, bytes(received)).verdict, Verdict::redirect);
    EXPECT_EQ(entry_of(sent(kept_port))->last_seen, before);
}

}  // namespace
}  // namespace podlane::prog
