// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include "test/prog/harness/devices.h"
#include "test/prog/harness/nat.h"

// Who is translated, as the configuration has it by now, while flows of before live on: whole packets.
namespace podlane::prog {
namespace {

using namespace std::chrono_literals;

struct Flow {
    std::string name;
    Transport transport;
    std::chrono::seconds timeout;
};

// A change of the configuration after which web's packets to outside_ip are to have its own address.
enum class Change : std::uint8_t { pod_opts_out, network_is_named };

class NatKept : public NatTest, public testing::WithParamInterface<std::tuple<Flow, Change>> {
protected:
    [[nodiscard]] static const Flow& flow() { return std::get<Flow>(GetParam()); }
    [[nodiscard]] static Frame sent(std::uint16_t port = kept_port) {
        return from(from_pod(pod("web"), outside_ip, flow().transport), web_ip, port);
    }
    static void change() {
        for (Node* one : {&node(), &hasty_node()}) {
            if (std::get<Change>(GetParam()) == Change::network_is_named) {
                must(map<spec::networks_by_prefix>(*one).update({24, address("203.0.113.0").wire()},
                                                                {NETWORK_UNTRANSLATED}));
                continue;
            }
            one->set_pod_flags(web_ip, POD_FLAG_NO_SNAT);
        }
    }
};

INSTANTIATE_TEST_SUITE_P(Flows, NatKept,
                         testing::Combine(testing::Values(Flow{"Tcp", Tcp{0, 80, tcp_flag::ack}, 240s},
                                                          Flow{"Udp", Udp{0, 4000}, 300s},
                                                          Flow{"Echo", Icmp{.id = 0, .sequence = 3}, 60s}),
                                          testing::Values(Change::pod_opts_out, Change::network_is_named)),
                         [](const auto& test) {
                             return std::get<0>(test.param).name + (std::get<1>(test.param) == Change::pod_opts_out
                                                                        ? "OfAPodThatOptsOut"
                                                                        : "ToANetworkThatIsNamed");
                         });

TEST_P(NatKept, FlowThatIsTranslated_StaysSoOnTheFastPath) {
    EXPECT_EQ(leaves(sent()), kept_port);
    change();
    Frame routed = from(sent(), n1_ip, kept_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(redirects(from_web, bytes(sent()), bytes(routed), PATH_POD_TO_OUTSIDE, fast_path_mark));
    const Frame reply = outside_sends(n1_ip, answer_to(from(sent(), n1_ip, kept_port).transport));
    EXPECT_TRUE(redirects(underlay_in, bytes(reply), bytes(delivered(to(reply, web_ip, kept_port), pod("web"))),
                          PATH_OUTSIDE_TO_POD));
}

TEST_P(NatKept, FlowThatIsTranslated_StaysSoOutOfTheStack) {
    EXPECT_EQ(leaves(sent()), kept_port);
    change();
    const Frame out = forwarded(sent());
    EXPECT_TRUE(passes(underlay_out, bytes(out), bytes(from(out, n1_ip, kept_port)), PATH_STACK_TO_OUTSIDE));
}

TEST_P(NatKept, FragmentsOfSuchAFlow_AreTranslatedAllOfThem) {
    EXPECT_EQ(leaves(sent()), kept_port);
    change();
    Frame first = forwarded(sent());
    first.ip.fragment = more_fragments;
    EXPECT_TRUE(passes(underlay_out, bytes(first), bytes(from(first, n1_ip, kept_port)), PATH_STACK_TO_OUTSIDE));
    Frame later = forwarded(sent());
    later.transport = OtherProtocol{protocol_of(sent())};
    later.ip.fragment = 5;
    Frame translated = later;
    translated.ip.source = n1_ip;
    EXPECT_TRUE(passes(underlay_out, bytes(later), bytes(translated), PATH_STACK_TO_OUTSIDE));
}

TEST_P(NatKept, NewFlow_LeavesWithThePodsAddress) {
    EXPECT_EQ(leaves(sent()), kept_port);
    change();
    EXPECT_TRUE(hands_over(from_web, bytes(sent(far_port)), HANDOVER_OUTSIDE));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(forwarded(sent(far_port)))));
    EXPECT_EQ(translations(), 1U);
}

TEST_P(NatKept, NewFlow_IsNotTranslatedAtOnceEither) {
    change();
    const Bytes packet = bytes(sent());
    EXPECT_TRUE(comes_to(hasty_node(), from_web, packet, {Verdict::pass, packet, 0},
                         once(counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD), packet)));
    EXPECT_EQ(must(map<spec::nat_by_flow>(hasty_node()).entries()).size(), 0U);
}

TEST_P(NatKept, FlowThatIsOver_BeginsAnewWithThePodsAddress) {
    EXPECT_EQ(leaves(sent()), kept_port);
    change();
    age(sent(), flow().timeout);
    EXPECT_TRUE(hands_over(from_web, bytes(sent()), HANDOVER_OUTSIDE));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(forwarded(sent()))));
}

class NatPolicy : public NatTest {
protected:
    static void set_egress(Ipv4Address egress) {
        for (Node* one : {&node(), &hasty_node()}) {
            auto endpoint = must(map<spec::pods_by_ipv4>(*one).lookup(web_ip.wire())).value();
            endpoint.egress_address = egress.wire();
            must(map<spec::pods_by_ipv4>(*one).update(web_ip.wire(), endpoint));
        }
    }
    static void translate_link_local() {
        for (Node* one : {&node(), &hasty_node()}) {
            must(map<spec::networks_by_prefix>(*one).update({16, address("169.254.0.0").wire()}, {NETWORK_TRANSLATED}));
        }
    }
    static inline const Ipv4Address egress_ip = address("192.168.100.88");
    static inline const Ipv4Address metadata_ip = address("169.254.169.254");
};

TEST_F(NatPolicy, FlowKeepsItsAddress_WhenThePodsEgressAddressGoes) {
    set_egress(egress_ip);
    const Frame sent = from_pod(pod("web"), outside_ip, Udp{kept_port, 4000});
    const Frame out = forwarded(sent);
    EXPECT_TRUE(hands_over(from_web, bytes(sent), HANDOVER_OUTSIDE));
    EXPECT_TRUE(passes(underlay_out, bytes(out), bytes(from(out, egress_ip, kept_port)), PATH_STACK_TO_OUTSIDE));
    set_egress({});
    Frame routed = from(sent, egress_ip, kept_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(redirects(from_web, bytes(sent), bytes(routed), PATH_POD_TO_OUTSIDE, fast_path_mark));
    EXPECT_EQ(leaves(from_pod(pod("web"), outside_ip, Udp{kept_port, 4001})), kept_port) << "a new one";
}

TEST_F(NatPolicy, EgressAddress_IsTakenByTheFirstPacketWhereTheServicesAreKnown) {
    set_egress(egress_ip);
    const Frame sent = from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    Frame routed = from(sent, egress_ip, kept_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(comes_to(hasty_node(), from_web, bytes(sent), {Verdict::redirect, bytes(routed), fast_path_mark},
                         once(counter_of(PATH_POD_TO_OUTSIDE), bytes(sent))));
}

TEST_F(NatPolicy, LinkLocalThatIsTranslated_LeavesWithTheNodesAddressAndIsAnswered) {
    translate_link_local();
    const Frame sent = from_pod(pod("web"), metadata_ip, Tcp{kept_port, 80, tcp_flag::syn});
    EXPECT_EQ(leaves(sent), kept_port);
    Frame reply = outside_sends(n1_ip, answer_to(sent.transport));
    reply.ip.source = metadata_ip;
    EXPECT_TRUE(redirects(underlay_in, bytes(reply), bytes(delivered(to(reply, web_ip, kept_port), pod("web"))),
                          PATH_OUTSIDE_TO_POD));
}

TEST_F(NatPolicy, LinkLocalThatIsTranslated_TakesTheFastPathWhereTheServicesAreKnown) {
    translate_link_local();
    const Frame sent = from_pod(pod("web"), metadata_ip, Tcp{kept_port, 80, tcp_flag::syn});
    Frame routed = from(sent, n1_ip, kept_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(comes_to(hasty_node(), from_web, bytes(sent), {Verdict::redirect, bytes(routed), fast_path_mark},
                         once(counter_of(PATH_POD_TO_OUTSIDE), bytes(sent))));
}

// Node-local DNS has its address on a device of the node.
TEST_F(NatPolicy, LinkLocalAddressOfTheNodeItself_GoesUpTheStackUntranslated) {
    translate_link_local();
    static const bool added = [] {
        must(run_ip(fmt::format("address add 169.254.20.10/32 dev {}\n", underlay_device("n1"))));
        return true;
    }();
    ASSERT_TRUE(added);
    const Bytes packet = bytes(from_pod(pod("web"), address("169.254.20.10"), Udp{kept_port, 53}));
    EXPECT_TRUE(comes_to(hasty_node(), from_web, packet, {Verdict::pass, packet, 0},
                         once(counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD), packet)));
    EXPECT_EQ(must(map<spec::nat_by_flow>(hasty_node()).entries()).size(), 0U);
}

TEST_F(NatPolicy, LinkLocalNoMoreTranslated_KeepsItsFlowsAndDropsNewOnes) {
    translate_link_local();
    const Frame sent = from_pod(pod("web"), metadata_ip, Tcp{kept_port, 80, tcp_flag::ack});
    EXPECT_EQ(leaves(sent), kept_port);
    must(map<spec::networks_by_prefix>().erase({16, address("169.254.0.0").wire()}));
    EXPECT_EQ(leaves(sent), kept_port);
    const Frame fresh = from_pod(pod("web"), metadata_ip, Tcp{kept_port, 8080, tcp_flag::syn});
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(fresh)), DROP_NAT_LOCAL_SCOPE));
}

TEST_F(NatPolicy, MulticastAndBroadcast_AreNeverTranslated) {
    translate_link_local();
    for (const char* destination : {"239.1.2.3", "255.255.255.255"}) {
        const Frame sent = from_pod(pod("web"), address(destination), Udp{kept_port, 5353});
        EXPECT_TRUE(drops(underlay_out, bytes(forwarded(sent)), DROP_NAT_LOCAL_SCOPE));
        node().forget_counters();
    }
}

TEST_F(NatPolicy, PodThatOptedOut_SendsToLinkLocalWithItsOwnAddress) {
    node().set_pod_flags(web_ip, POD_FLAG_NO_SNAT);
    const Frame sent = from_pod(pod("web"), metadata_ip, Tcp{kept_port, 80, tcp_flag::syn});
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(forwarded(sent))));
}

}  // namespace
}  // namespace podlane::prog
