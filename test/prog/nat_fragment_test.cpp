// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/nat.h"

// IP fragments: the first names the flow and is translated like any packet, later ones follow it.
namespace podlane::prog {
namespace {

constexpr std::uint16_t offset_of_second = 5;  // in units of 8 bytes: behind a UDP header and 32 bytes

Frame first_of(Frame whole) {
    whole.ip.fragment = more_fragments;
    return whole;
}
// The bytes behind the first fragment's, without a transport header.
Frame later_of(const Frame& whole, std::uint16_t flags = 0) {
    Frame later = whole;
    later.transport = OtherProtocol{protocol_of(whole)};
    later.ip.fragment = static_cast<std::uint16_t>(flags | offset_of_second);
    later.payload = pattern(24);
    return later;
}

class NatFragment : public NatTest {
protected:
    const Frame datagram_ = from_pod(pod("web"), outside_ip, Udp{far_port, 4000});
};

TEST_F(NatFragment, FragmentsOfAPod_LeaveWithOneAddress) {
    EXPECT_TRUE(hands_over(from_web, bytes(first_of(datagram_)), HANDOVER_FRAGMENT));
    EXPECT_TRUE(hands_over(from_web, bytes(later_of(datagram_)), HANDOVER_FRAGMENT));
    const std::uint16_t port = leaves(first_of(datagram_));
    for (const std::uint16_t flags : {more_fragments, std::uint16_t{0}}) {
        const Frame later = forwarded(later_of(datagram_, flags));
        EXPECT_TRUE(passes(underlay_out, bytes(later), bytes(from(later, n1_ip, port)), PATH_STACK_TO_OUTSIDE));
    }
    EXPECT_EQ(entry_of(datagram_)->flags, 0);
}

TEST_F(NatFragment, FragmentsOfTheReply_ReachThePod) {
    const std::uint16_t port = leaves(datagram_);
    const Frame reply = outside_sends(n1_ip, answer_to(from(datagram_, n1_ip, port).transport));
    EXPECT_TRUE(redirects(underlay_in, bytes(first_of(reply)),
                          bytes(delivered(to(first_of(reply), web_ip, far_port), pod("web"))), PATH_OUTSIDE_TO_POD));
    EXPECT_TRUE(redirects(underlay_in, bytes(later_of(reply)),
                          bytes(delivered(to(later_of(reply), web_ip, 0), pod("web"))), PATH_OUTSIDE_TO_POD));
    Frame without_hops = later_of(reply);
    without_hops.ip.ttl = 1;
    EXPECT_TRUE(drops(underlay_in, bytes(without_hops), DROP_NAT_TTL_EXPIRED));
}

// A kernel that cannot write outer headers: its bpf_redirect_peer drops what is longer than the pod's MTU.
class NatLongReply : public NatFragment {
protected:
    static Node& old_node() {
        static Node node("n1", nat_config_for(nat_range.first, nat_range.last), "nat-old", ENCAPSULATION_TUNNEL_DEVICE);
        return node;
    }
    void SetUp() override {
        NatFragment::SetUp();
        reset_node(old_node());
        EXPECT_EQ(old_node().run(from_web, bytes(datagram_)).verdict, Verdict::pass);
        const Outcome sent = old_node().run(underlay_out, bytes(forwarded(datagram_)));
        EXPECT_EQ(sent.verdict, Verdict::pass);
        port_ = source_port(sent.packet);
    }
    // The answer to the datagram that the pod sent through the old node.
    Frame reply(std::size_t payload_length) {
        return outside_sends(n1_ip, answer_to(from(datagram_, n1_ip, port_).transport), payload_length);
    }
    void expect_to_stack(const Frame& received, std::uint16_t port) {
        const Outcome out = old_node().run(underlay_in, bytes(received));
        EXPECT_EQ(out.verdict, Verdict::pass);
        EXPECT_TRUE(same_packet(bytes(to(received, web_ip, port)), out.packet));
    }

    std::uint16_t port_ = 0;  // of the datagram, outside
};

TEST_F(NatLongReply, LongerThanThePodsMtu_IsLeftToTheStack) {
    const std::size_t mtu = must(map<spec::pods_by_ipv4>(old_node()).lookup(web_ip.wire()))->mtu;
    expect_to_stack(reply(mtu - 28 + 1), far_port);
    EXPECT_EQ(old_node().run(underlay_in, bytes(reply(mtu - 28))).verdict, Verdict::redirect);
}

TEST_F(NatLongReply, FragmentsOfEveryLength_TakeTheSameWay) {
    const Frame answer = reply(0);
    expect_to_stack(first_of(answer), far_port);
    expect_to_stack(later_of(answer), 0);
}

TEST_F(NatFragment, LaterFragmentToAPodThatIsGone_IsLeftToTheStack) {
    const std::uint16_t port = leaves(datagram_);
    const Frame reply = outside_sends(n1_ip, answer_to(from(datagram_, n1_ip, port).transport));
    EXPECT_EQ(node().run(underlay_in, bytes(first_of(reply))).verdict, Verdict::redirect);
    node().forget_counters();
    must(map<spec::pods_by_ipv4>().erase(web_ip.wire()));
    EXPECT_TRUE(hands_over(underlay_in, bytes(later_of(reply)), HANDOVER_NO_POD));
}

// The first one alone has a port; the address stays.
TEST_F(NatFragment, FragmentsOfTheHostsDatagram_GetAnotherPortWhereAPodHasTheTuple) {
    EXPECT_EQ(leaves(from(datagram_, web_ip, kept_port)), kept_port);
    const Frame sent = from(forwarded(datagram_), n1_ip, kept_port);
    const Outcome first = node().run(underlay_out, bytes(first_of(sent)));
    const std::uint16_t port = source_port(first.packet);
    EXPECT_NE(port, kept_port);
    EXPECT_TRUE(is_outcome(first, {Verdict::pass, bytes(from(first_of(sent), n1_ip, port)), 0}));
    node().forget_counters();
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(later_of(sent))));
    const Frame reply = outside_sends(n1_ip, Udp{4000, port});
    EXPECT_TRUE(passes(underlay_in, bytes(first_of(reply)), bytes(to(first_of(reply), n1_ip, kept_port)),
                       PATH_OUTSIDE_TO_HOST));
    EXPECT_TRUE(passes(underlay_in, bytes(later_of(reply)), bytes(later_of(reply)), PATH_OUTSIDE_TO_HOST));
}

TEST_F(NatFragment, FragmentsOfAStackFlowsReply_GoUpTheStack) {
    EXPECT_EQ(node().run(underlay_out, bytes(forwarded(from(datagram_, web_ip, kept_port)))).verdict, Verdict::pass);
    node().forget_counters();
    const Frame reply = outside_sends(n1_ip, Udp{4000, kept_port});
    EXPECT_TRUE(passes(underlay_in, bytes(first_of(reply)), bytes(to(first_of(reply), web_ip, kept_port)),
                       PATH_OUTSIDE_TO_STACK));
    EXPECT_TRUE(
        passes(underlay_in, bytes(later_of(reply)), bytes(to(later_of(reply), web_ip, 0)), PATH_OUTSIDE_TO_STACK));
}

TEST_F(NatFragment, LaterFragmentWithoutItsFirst_DoesNotLeave) {
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(later_of(datagram_))), DROP_NAT_FRAGMENT));
    leaves(first_of(datagram_));
    Frame of_another = later_of(datagram_);
    of_another.ip.id += 1;
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(of_another)), DROP_NAT_FRAGMENT));
    // Of the outside's, nobody knows whose it is.
    EXPECT_TRUE(leaves_alone(underlay_in, bytes(later_of(outside_sends(n1_ip, Udp{4000, kept_port})))));
}

TEST_F(NatFragment, LaterFragmentThatComesTooLate_DoesNotLeave) {
    leaves(first_of(datagram_));
    auto recorded = map<spec::nat_fragments>();
    for (auto [key, fragment] : must(recorded.entries())) {
        fragment.seen -= 30'000'000'000U;
        must(recorded.update(key, fragment));
    }
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(later_of(datagram_))), DROP_NAT_FRAGMENT));
}

TEST_F(NatFragment, FragmentsOfAnEcho_FollowToo) {
    const Frame echo = from_pod(pod("web"), outside_ip, Icmp{.id = 77, .sequence = 1});
    const std::uint16_t port = leaves(first_of(echo));
    const Frame later = forwarded(later_of(echo));
    EXPECT_TRUE(passes(underlay_out, bytes(later), bytes(from(later, n1_ip, port)), PATH_STACK_TO_OUTSIDE));
}

}  // namespace
}  // namespace podlane::prog
