// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/devices.h"
#include "test/prog/harness/nat.h"

// How long a translation lasts (RFC 4787, RFC 5382, RFC 5508), and what becomes of it then. Time is what the table
// says: the tests age entries.
namespace podlane::prog {
namespace {

class NatLifeOfAddress : public NatTest {};

using std::chrono::seconds;

Frame web_sends(const Transport& transport) {
    return from_pod(pod("web"), outside_ip, transport);
}
Frame remote_sends(const Frame& to_what, std::uint8_t flags = tcp_flag::ack) {
    Transport transport = answer_to(to_what.transport);
    if (auto* tcp = std::get_if<Tcp>(&transport)) {
        tcp->flags = flags;
    }
    return outside_sends(n1_ip, transport);
}
const Frame syn = web_sends(Tcp{kept_port, 80, tcp_flag::syn});
const Frame ack = web_sends(Tcp{kept_port, 80});
const Frame fin = web_sends(Tcp{kept_port, 80, tcp_flag::fin | tcp_flag::ack});
const Frame reset = web_sends(Tcp{kept_port, 80, tcp_flag::rst});

class NatLife : public NatTest {
protected:
    static void pod_sends(const Frame& frame) {
        const Outcome outcome = node().run(from_web, bytes(frame));
        if (outcome.verdict == Verdict::pass) {
            EXPECT_EQ(node().run(underlay_out, bytes(forwarded(frame))).verdict, Verdict::pass);
        }
        node().forget_counters();
    }
    static void remote_answers(const Frame& frame) {
        EXPECT_EQ(node().run(underlay_in, bytes(frame)).verdict, Verdict::redirect);
        node().forget_counters();
    }
    static void establish() {
        pod_sends(syn);
        remote_answers(remote_sends(syn, tcp_flag::syn | tcp_flag::ack));
        pod_sends(ack);
    }
    static std::uint64_t last_seen(const Frame& frame) { return entry_of(frame).value().last_seen; }
    // Whether the flow's translation is over after so long.
    static bool is_swept_after(const Frame& frame, seconds idle) {
        age(frame, idle);
        return sweep() == 1;
    }
    static void lasts(const Frame& frame, seconds timeout) {
        EXPECT_FALSE(is_swept_after(frame, timeout - seconds(1)));
        EXPECT_EQ(translations(), 1U);
        EXPECT_TRUE(is_swept_after(frame, timeout));
        EXPECT_EQ(translations(), 0U);
        EXPECT_EQ(claims(), 0U);
        EXPECT_EQ(flows_of(web_ip), 0);
    }
};

TEST_F(NatLife, ConnectionBeingOpened_LastsFourMinutes) {
    pod_sends(syn);
    lasts(syn, seconds(240));
    pod_sends(syn);
    remote_answers(remote_sends(syn, tcp_flag::syn | tcp_flag::ack));
    lasts(syn, seconds(240));
}

TEST_F(NatLife, EstablishedConnection_LastsTwoHoursAndFourMinutes) {
    establish();
    lasts(syn, seconds(7440));
}

TEST_F(NatLife, ConnectionOfWhichOneSideIsDone_LastsOn) {
    establish();
    pod_sends(fin);
    remote_answers(remote_sends(ack));
    lasts(syn, seconds(7440));
}

TEST_F(NatLife, ConnectionThatBothSidesClosed_LastsTenSeconds) {
    establish();
    pod_sends(fin);
    remote_answers(remote_sends(ack, tcp_flag::fin | tcp_flag::ack));
    pod_sends(ack);
    lasts(syn, seconds(10));
}

TEST_F(NatLife, ConnectionThatThePodReset_LastsTenSeconds) {
    establish();
    pod_sends(reset);
    lasts(syn, seconds(10));
}

TEST_F(NatLife, ConnectionThatTheRemoteReset_LastsTenSecondsUnlessThePodGoesOn) {
    establish();
    remote_answers(remote_sends(ack, tcp_flag::rst));
    age(syn, seconds(5));
    pod_sends(ack);  // the RST was forged, or was about something else
    lasts(syn, seconds(7440));

    establish();
    remote_answers(remote_sends(ack, tcp_flag::rst));
    lasts(syn, seconds(10));
}

TEST_F(NatLife, Datagrams_LastFiveMinutesAndQuestionsToDnsTwentySeconds) {
    const Frame datagram = web_sends(Udp{kept_port, 4000});
    pod_sends(datagram);
    lasts(datagram, seconds(300));
    const Frame question = web_sends(Udp{kept_port, 53});
    pod_sends(question);
    lasts(question, seconds(20));
}

TEST_F(NatLife, Echo_LastsAMinute) {
    const Frame echo = web_sends(Icmp{.id = kept_port});
    pod_sends(echo);
    lasts(echo, seconds(60));
}

TEST_F(NatLife, PacketsOfThePod_KeepIt) {
    for (const Frame& frame : {web_sends(Udp{kept_port, 4000}), syn, web_sends(Icmp{.id = kept_port})}) {
        pod_sends(frame);
        age(frame, seconds(30));
        const auto before = last_seen(frame);
        pod_sends(frame);
        EXPECT_GE(last_seen(frame), before + 29'000'000'000U);
    }
}

TEST_F(NatLife, PacketsOfTheRemote_KeepConnectionsAlone) {
    establish();
    age(syn, seconds(30));
    auto before = last_seen(syn);
    remote_answers(remote_sends(ack));
    EXPECT_GE(last_seen(syn), before + 29'000'000'000U);

    for (const Frame& frame : {web_sends(Udp{kept_port, 4000}), web_sends(Icmp{.id = kept_port})}) {
        pod_sends(frame);
        age(frame, seconds(30));
        before = last_seen(frame);
        remote_answers(remote_sends(frame));
        EXPECT_EQ(last_seen(frame), before);
    }
}

TEST_F(NatLife, WhatFollowsTheEndOfAConnection_KeepsNothing) {
    establish();
    pod_sends(fin);
    remote_answers(remote_sends(ack, tcp_flag::fin | tcp_flag::ack));
    age(syn, seconds(5));
    const auto before = last_seen(syn);
    pod_sends(ack);
    remote_answers(remote_sends(ack, tcp_flag::fin | tcp_flag::ack));
    EXPECT_EQ(last_seen(syn), before);
}

TEST_F(NatLife, SynOnAClosedTuple_OpensANewConnection) {
    establish();
    pod_sends(reset);
    age(syn, seconds(5));
    pod_sends(syn);
    lasts(syn, seconds(240));
}

TEST_F(NatLife, EndOfAConnection_IsNotedToTheMoment) {
    establish();
    const auto before = last_seen(syn);
    pod_sends(fin);
    EXPECT_EQ(last_seen(syn), before) << "not over yet, and written a moment ago";
    remote_answers(remote_sends(ack, tcp_flag::fin | tcp_flag::ack));
    EXPECT_GT(last_seen(syn), before);
}

TEST_F(NatLife, SynOnAClosedTupleThatAnotherFlowTook_IsNotTranslatedByIt) {
    establish();
    pod_sends(fin);
    remote_answers(remote_sends(ack, tcp_flag::fin | tcp_flag::ack));
    age(syn, seconds(1));
    auto replies = map<spec::nat_by_reply>();
    for (auto [key, claim] : must(replies.entries())) {
        claim.flow.pod_address = db_ip.wire();
        must(replies.update(key, claim));
    }
    EXPECT_TRUE(drops(from_web, bytes(syn), DROP_NAT_CLAIM_LOST));
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(syn)), DROP_NAT_CLAIM_LOST));
}

TEST_F(NatLife, ReplyToWhatIsOver_IsTheHosts) {
    const Frame datagram = web_sends(Udp{kept_port, 4000});
    pod_sends(datagram);
    for (const seconds idle : {seconds(299), seconds(300), seconds(100000)}) {
        age(datagram, idle);
        EXPECT_TRUE(leaves_alone(underlay_in, bytes(remote_sends(datagram))));
    }
}

TEST_F(NatLife, FlowThatComesBackAfterItsTime_KeepsItsPortIfNobodyTookIt) {
    const Frame datagram = web_sends(Udp{far_port, 4000});
    const std::uint16_t port = leaves(datagram);
    age(datagram, seconds(1000));
    EXPECT_EQ(leaves(datagram), port);
    EXPECT_EQ(translations(), 1U);
    age(datagram, seconds(299));  // nobody may use it, and nobody may take it
    EXPECT_EQ(leaves(datagram), port);
}

TEST_F(NatLife, ConnectionThatComesBackAfterItsTime_LastsLikeOneBeingOpened) {
    establish();
    age(syn, seconds(8000));
    pod_sends(ack);
    lasts(syn, seconds(240));
}

TEST_F(NatLife, ClosedConnectionWhoseTimeIsOver_IsBroughtBackByASynAlone) {
    const Frame syn_ack = web_sends(Tcp{kept_port, 80, tcp_flag::syn | tcp_flag::ack});
    for (const bool by_fins : {true, false}) {
        establish();
        pod_sends(by_fins ? fin : reset);
        if (by_fins) {
            remote_answers(remote_sends(ack, tcp_flag::fin | tcp_flag::ack));
        }
        for (const seconds idle : {seconds(9), seconds(11)}) {  // nobody may take it yet, and anybody
            age(syn, idle);
            const auto before = last_seen(syn);
            for (const Frame& late : {ack, fin, reset, syn_ack}) {
                EXPECT_TRUE(drops(from_web, bytes(late), DROP_NAT_NOT_OPENED));
                EXPECT_TRUE(drops(underlay_out, bytes(forwarded(late)), DROP_NAT_NOT_OPENED));
            }
            EXPECT_EQ(last_seen(syn), before);
        }
        pod_sends(syn);
        lasts(syn, seconds(240));
    }
}

TEST_F(NatLife, FlowWhoseTimeIsOver_IsNotBroughtBackByWhatOpensNone) {
    Frame error = web_sends(Icmp{.type = icmp_type::unreachable, .code = 3});
    for (const Frame& frame : {web_sends(Udp{kept_port, 4000}), syn, web_sends(Icmp{.id = kept_port})}) {
        pod_sends(frame);
        age(frame, seconds(10000));
        const auto before = last_seen(frame);
        error.payload = ip_bytes(outside_sends(web_ip, answer_to(frame.transport)));
        EXPECT_TRUE(drops(from_web, bytes(error), DROP_NAT_NOT_OPENED));
        EXPECT_TRUE(drops(underlay_out, bytes(forwarded(error)), DROP_NAT_NOT_OPENED));
        EXPECT_EQ(last_seen(frame), before);
    }
    EXPECT_TRUE(drops(from_web, bytes(reset), DROP_NAT_NOT_OPENED));
    EXPECT_TRUE(
        drops(from_web, bytes(web_sends(Icmp{.type = icmp_type::echo_reply, .id = kept_port})), DROP_NAT_NOT_OPENED));
    EXPECT_EQ(sweep(), 3U);
}

TEST_F(NatLife, FlowWhoseTupleAnotherFlowHas_IsNotTranslatedByIt) {
    const Frame datagram = web_sends(Udp{kept_port, 4000});
    pod_sends(datagram);
    age(datagram, seconds(1000));
    auto replies = map<spec::nat_by_reply>();
    for (auto [key, claim] : must(replies.entries())) {
        claim.flow.pod_address = db_ip.wire();
        must(replies.update(key, claim));
    }
    EXPECT_TRUE(drops(from_web, bytes(datagram), DROP_NAT_CLAIM_LOST));
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(datagram)), DROP_NAT_CLAIM_LOST));
    EXPECT_EQ(sweep(), 0U) << "whoever took it removes the flow";
}

TEST_F(NatLife, Sweep_LeavesWhatIsAliveAndTakesNoMoreThanItIsTold) {
    std::vector<Frame> flows;
    for (std::uint16_t i = 0; i < 60; ++i) {
        flows.push_back(web_sends(Udp{static_cast<std::uint16_t>(nat_range.first + i), 4000}));
        pod_sends(flows.back());
        if (i % 3 == 0) {
            age(flows.back(), seconds(301));
        }
    }
    EXPECT_EQ(sweep(), 20U);
    EXPECT_EQ(sweep(), 0U);
    EXPECT_EQ(translations(), 40U);
    EXPECT_EQ(claims(), 40U);
    EXPECT_EQ(flows_of(web_ip), 40);
    int used = 0;
    for (const auto& [key, ports] : must(map<spec::nat_ports_by_destination>().entries())) {
        for (const int block : ports.used) {
            used += block;
        }
    }
    EXPECT_EQ(used, 40);
}

// The device that they leave by has another address by now, and the node has both.
TEST_F(NatLife, TranslationsThatNobodyHasAnswered_CanBeRemovedAlone) {
    const Frame asked = web_sends(Udp{kept_port, 4000});
    const Frame answered = web_sends(Udp{kept_port, 4001});
    pod_sends(asked);
    pod_sends(answered);
    remote_answers(remote_sends(answered));
    EXPECT_EQ(sweep(node(), nat_sweep_order{address("192.168.100.77").wire(), 1, {}}), 0U) << "another one";
    EXPECT_EQ(sweep(node(), nat_sweep_order{n1_ip.wire(), 1, {}}), 1U);
    EXPECT_EQ(translations(), 1U);
    EXPECT_EQ(claims(), 1U);
    remote_answers(remote_sends(answered));
    pod_sends(asked);
    EXPECT_EQ(translations(), 2U);
}

// DHCP gave the node another address, or an egress address has moved: nothing of the flow's age is asked.
TEST_F(NatLifeOfAddress, TranslationWhoseAddressTheNodeHasNoMore_IsRemovedWithItsClaim) {
    const Frame sent = from_pod(pod("web"), outside_ip, Udp{kept_port, 4000});
    EXPECT_EQ(leaves(sent), kept_port);
    EXPECT_EQ(sweep(), 0U);
    EXPECT_EQ(sweep(node(), address("192.168.100.77")), 0U) << "another one";
    EXPECT_EQ(sweep(node(), n1_ip), 1U);
    EXPECT_EQ(translations(), 0U);
    EXPECT_EQ(claims(), 0U);
    EXPECT_EQ(flows_of(web_ip), 0);
    const auto renumbered = address("192.168.100.78");
    must(map<spec::nat_address_by_device>().update(ifindex_of("eth1"), uplink_of_n1(0, renumbered)));
    const Outcome out = goes_out(sent);
    EXPECT_TRUE(is_outcome(out, {Verdict::pass, bytes(from(forwarded(sent), renumbered, kept_port)), 0}));
}

}  // namespace
}  // namespace podlane::prog
