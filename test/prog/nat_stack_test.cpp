// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>

#include <chrono>
#include <cstdint>

#include "test/prog/harness/devices.h"
#include "test/prog/harness/nat.h"

// Flows of a pod's ports that the stack has a part in at times: whose replies go up the stack, and whose do not.
namespace podlane::prog {
namespace {

class NatAnswer : public NatTest {};

// Of a NodePort with externalTrafficPolicy Local, as an example.
TEST_F(NatAnswer, DatagramOfAFlowThatCameInThroughTheStack_GoesBackThereWhateverIsKnown) {
    const Bytes packet = bytes(from_pod(pod("web"), outside_ip, Udp{8080, 4000}));
    hasty_node().set_flow({IPPROTO_UDP, web_ip, 8080, outside_ip, 4000}, FLOW_OWNER_STACK);
    EXPECT_TRUE(comes_to(hasty_node(), from_web, packet, {Verdict::pass, packet, 0},
                         once(counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD), packet)));
    EXPECT_EQ(must(map<spec::nat_by_flow>(hasty_node()).entries()).size(), 0U);
}

// peer:5060 -> node:5060, a hostPort, and the pod has sent from 5060 to peer:5060 before, with a port of its own.
TEST_F(NatAnswer, DatagramOfATranslatedFlowThatNowComesInThroughTheStack_GoesBackThere) {
    const Frame sent = from_pod(pod("web"), outside_ip, Udp{5060, 5060});
    const std::uint16_t nat_port = leaves(sent);
    const Frame reply = outside_sends(n1_ip, answer_to(from(sent, n1_ip, nat_port).transport));
    const Frame seen = to(reply, web_ip, 5060);
    EXPECT_TRUE(redirects(underlay_in, bytes(reply), bytes(delivered(seen, pod("web"))), PATH_OUTSIDE_TO_POD));
    EXPECT_TRUE(leaves_alone(to_web, bytes(delivered(seen, pod("web")))));
    EXPECT_EQ(entry_of(sent)->flags, NAT_FLAG_STACK);
    EXPECT_TRUE(hands_over(from_web, bytes(sent), HANDOVER_OUTSIDE));
    // Where conntrack knows nothing of it, the translation holds, and the stack sees both directions.
    EXPECT_EQ(leaves(sent), nat_port);
    EXPECT_TRUE(passes(underlay_in, bytes(reply), bytes(seen), PATH_OUTSIDE_TO_STACK));
}

TEST_F(NatAnswer, DatagramWhoseOwnerWasEvicted_GoesBackThroughTheStackFromTheNextQuestionOn) {
    const Frame answer = from_pod(pod("web"), outside_ip, Udp{8080, 4000});
    Node& node = hasty_node();
    const auto handled = [&](const At& at, const Frame& frame) {
        const Verdict verdict = node.run(at, bytes(frame)).verdict;
        node.forget_counters();
        return verdict;
    };
    EXPECT_EQ(handled(from_web, answer), Verdict::redirect) << "taken for a new flow's";
    EXPECT_EQ(handled(to_web, outside_sends(web_ip, Udp{4000, 8080})), Verdict::pass);
    EXPECT_EQ(handled(from_web, answer), Verdict::pass);
    EXPECT_EQ(must(map<spec::nat_by_flow>(node).lookup(flow_of(answer)))->flags, NAT_FLAG_STACK);
}

TEST_F(NatAnswer, PacketsFromTheStackOfWhatIsNotItsOwn_LeaveTheTranslationAlone) {
    const Frame sent = from_pod(pod("web"), outside_ip, Udp{kept_port, 4000});
    leaves(sent);
    node().set_flow({IPPROTO_UDP, web_ip, kept_port, outside_ip, 4000}, FLOW_OWNER_UNDECIDED, FLOW_PENDING_TO_POD);
    EXPECT_TRUE(leaves_alone(to_web, bytes(outside_sends(web_ip, Udp{4000, kept_port})))) << "went up unchanged";
    EXPECT_EQ(entry_of(sent)->flags, 0);
    const Frame connection = from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    leaves(connection);
    EXPECT_TRUE(leaves_alone(to_web, bytes(outside_sends(web_ip, Tcp{80, kept_port}))));
    EXPECT_EQ(entry_of(connection)->flags, 0);
}

// The pod's port to 203.0.113.10:80, and then to a ClusterIP whose backend that is: the stack makes the same tuple.
class NatPortUsedAgain : public NatTest, public testing::WithParamInterface<Transport> {
protected:
    [[nodiscard]] static Frame sent() { return from_pod(pod("web"), outside_ip, GetParam()); }
    [[nodiscard]] static std::uint8_t flags() { return entry_of(sent()).value().flags; }
    static void service_sends() {
        EXPECT_TRUE(passes(underlay_out, bytes(forwarded(sent())), bytes(from(forwarded(sent()), n1_ip, kept_port)),
                           PATH_STACK_TO_OUTSIDE));
    }
};

INSTANTIATE_TEST_SUITE_P(Protocols, NatPortUsedAgain,
                         testing::Values(Transport(Tcp{kept_port, 80, tcp_flag::syn}), Transport(Udp{kept_port, 4000}),
                                         Transport(Icmp{.id = kept_port, .sequence = 3})));

TEST_P(NatPortUsedAgain, ForAService_HasItsRepliesGoUpTheStack) {
    leaves(sent());
    EXPECT_EQ(flags(), 0);
    age(sent(), std::chrono::seconds(1000));
    EXPECT_EQ(sweep(), 1U);
    service_sends();
    EXPECT_EQ(flags(), NAT_FLAG_STACK);
}

TEST_P(NatPortUsedAgain, ForTheSameDestination_IsPromotedAgain) {
    leaves(sent());
    age(sent(), std::chrono::seconds(1000));
    EXPECT_EQ(sweep(), 1U);
    leaves(sent());
    EXPECT_EQ(flags(), 0);
}

// On a device without an Ethernet header every packet goes through the stack.
TEST_P(NatPortUsedAgain, AfterAFlowThatWentThroughTheStackAllTheTime_HasItsRepliesGoUpTheStack) {
    const auto device = ifindex_of(underlay_device("n1"));
    must(map<spec::nat_address_by_device>().update(device, uplink_of_n1(NAT_DEVICE_L3)));
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(hands_over(from_web, bytes(sent()), HANDOVER_OUTSIDE));
        EXPECT_TRUE(passes(underlay_out, bytes(forwarded(sent())), bytes(from(forwarded(sent()), n1_ip, kept_port)),
                           PATH_STACK_TO_OUTSIDE));
        EXPECT_EQ(flags(), 0);
    }
    age(sent(), std::chrono::seconds(1000));
    EXPECT_EQ(sweep(), 1U);
    service_sends();
    EXPECT_EQ(flags(), NAT_FLAG_STACK);
}

class NatSynAgain : public NatTest {};

TEST_F(NatSynAgain, ThatTheStackTranslated_HasItsRepliesGoUpTheStackThoughTheTranslationLives) {
    const Frame syn = from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    leaves(syn);
    EXPECT_TRUE(passes(underlay_out, bytes(forwarded(syn)), bytes(from(forwarded(syn), n1_ip, kept_port)),
                       PATH_STACK_TO_OUTSIDE));
    EXPECT_EQ(entry_of(syn)->flags, NAT_FLAG_STACK);
}

}  // namespace
}  // namespace podlane::prog
