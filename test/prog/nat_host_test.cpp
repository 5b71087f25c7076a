// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/nat.h"

// The host's own connections beside the pods': whoever is first has the tuple, the other gets another port.
namespace podlane::prog {
namespace {

class NatHost : public NatTest, public testing::WithParamInterface<Transport> {
protected:
    [[nodiscard]] static Frame host_sends() {
        Frame frame = forwarded(from_pod(pod("web"), outside_ip, GetParam()));
        frame.ip.source = n1_ip;
        return frame;
    }
    [[nodiscard]] static Frame pod_sends() { return from_pod(pod("web"), outside_ip, GetParam()); }
    [[nodiscard]] static std::uint16_t host_leaves() {
        const Outcome outcome = node().run(underlay_out, bytes(host_sends()));
        node().forget_counters();
        EXPECT_EQ(outcome.verdict, Verdict::pass);
        const std::uint16_t port = source_port(outcome.packet);
        EXPECT_TRUE(same_packet(bytes(from(host_sends(), n1_ip, port)), outcome.packet));
        return port;
    }
};

class NatHostReset : public NatTest {};
class NatHostOverlay : public NatTest {};

INSTANTIATE_TEST_SUITE_P(Protocols, NatHost,
                         testing::Values(Transport(Tcp{kept_port, 80, tcp_flag::syn}), Transport(Udp{kept_port, 4000}),
                                         Transport(Icmp{.id = kept_port, .sequence = 3})));

// Outer source ports are those of RFC 7348, wherever snat.portRange lies.
TEST_F(NatHostOverlay, EncapsulatedPacketWithAPortOfTheRange_ClaimsNothing) {
    const Frame frame = from(forwarded(from_pod(pod("web"), n2_ip, Udp{kept_port, overlay_port, {}, std::uint16_t{0}})),
                             n1_ip, kept_port);
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(frame)));
    EXPECT_EQ(translations(), 0U);
    EXPECT_EQ(claims(), 0U);
}

TEST_P(NatHost, PortOfTheRange_IsTheHostsWhenItIsFirst) {
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(host_sends())));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(host_sends())));
    EXPECT_NE(leaves(pod_sends()), kept_port);
    EXPECT_EQ(host_leaves(), kept_port);
    const Frame reply = outside_sends(n1_ip, answer_to(host_sends().transport));
    EXPECT_TRUE(leaves_alone(underlay_in, bytes(reply)));
}

TEST_P(NatHost, TupleThatAPodHas_GetsAnotherPortAndItsRepliesComeBack) {
    EXPECT_EQ(leaves(pod_sends()), kept_port);
    const std::uint16_t port = host_leaves();
    EXPECT_NE(port, kept_port);
    EXPECT_TRUE(nat_range.contains(port));
    EXPECT_TRUE(
        passes(underlay_out, bytes(host_sends()), bytes(from(host_sends(), n1_ip, port)), PATH_HOST_TO_OUTSIDE));
    const Frame reply = outside_sends(n1_ip, answer_to(from(host_sends(), n1_ip, port).transport));
    EXPECT_TRUE(passes(underlay_in, bytes(reply), bytes(to(reply, n1_ip, kept_port)), PATH_OUTSIDE_TO_HOST));
    // And the pod's come to the pod.
    const Frame to_pod = outside_sends(n1_ip, answer_to(from(pod_sends(), n1_ip, kept_port).transport));
    EXPECT_TRUE(redirects(underlay_in, bytes(to_pod), bytes(delivered(to(to_pod, web_ip, kept_port), pod("web"))),
                          PATH_OUTSIDE_TO_POD));
}

TEST_P(NatHost, WithoutRoomInTheTable_TheHostGoesOnUnlessAPodHasTheTuple) {
    must(map<spec::nat_flows_by_pod>().update(n1_ip.wire(),
                                              {nat_config_for(nat_range.first, nat_range.last).flows_per_pod}));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(host_sends())));
    EXPECT_EQ(translations(), 0U);
    EXPECT_EQ(leaves(pod_sends()), kept_port);
    EXPECT_TRUE(drops(underlay_out, bytes(host_sends()), DROP_NAT_POD_SHARE_EXCEEDED));
}

// What answers whoever scans the host's ports must not fill the table.
TEST_F(NatHostReset, OpensNothingAndIsNeverThePods) {
    const Frame reset =
        from(forwarded(from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::rst})), n1_ip, kept_port);
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(reset)));
    EXPECT_EQ(translations(), 0U);
    EXPECT_EQ(leaves(from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::syn})), kept_port);
    EXPECT_TRUE(drops(underlay_out, bytes(reset), DROP_NAT_NOT_OPENED));
}

// Whose time is over: nobody else has the tuple, so that it does no harm.
TEST_F(NatHostReset, OfTheHostsOwnFlowThatIsOver_PassesAndKeepsNothing) {
    const Frame opening =
        from(forwarded(from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::syn})), n1_ip, kept_port);
    const Frame reset =
        from(forwarded(from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::rst})), n1_ip, kept_port);
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(opening)));
    age(opening, std::chrono::seconds(1000));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(reset)));
    EXPECT_EQ(sweep(), 1U);
}

TEST_P(NatHost, PortOutsideTheRange_CostsNothing) {
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(from(host_sends(), n1_ip, far_port))));
    EXPECT_EQ(translations(), 0U);
}

}  // namespace
}  // namespace podlane::prog
