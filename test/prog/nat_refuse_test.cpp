// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>

#include "test/prog/harness/devices.h"
#include "test/prog/harness/nat.h"

// What cannot be translated, or must not: it never leaves with a pod's address, and each case has its own counter.
namespace podlane::prog {
namespace {

constexpr std::uint8_t gre = 47;
constexpr std::uint8_t sctp = 132;

Frame out(Ipv4Address to, const Transport& transport) {
    return forwarded(from_pod(pod("web"), to, transport));
}

struct Refused {
    std::string name;
    Frame packet;
    drop_reason reason;
};

std::vector<Refused> refused() {
    Frame options = out(outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    options.ip.options = Bytes(4, 1);
    Frame gone = out(outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    gone.ip.source = address("10.244.1.200");
    Frame broken = out(outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    broken.ip.checksum = std::uint16_t{0x1234};
    const std::uint8_t syn_ack = tcp_flag::syn | tcp_flag::ack;
    return {
        {"OtherProtocol", out(outside_ip, OtherProtocol{gre}), DROP_NAT_UNSUPPORTED_PROTOCOL},
        {"OtherIcmp", out(outside_ip, Icmp{.type = icmp_type::timestamp}), DROP_NAT_UNSUPPORTED_PROTOCOL},
        {"AnswerToASyn", out(outside_ip, Tcp{kept_port, 80, syn_ack}), DROP_NAT_NOT_OPENED},
        {"Reset", out(outside_ip, Tcp{kept_port, 80, tcp_flag::rst}), DROP_NAT_NOT_OPENED},
        {"AnswerToAnEcho", out(outside_ip, Icmp{.type = icmp_type::echo_reply, .id = 3}), DROP_NAT_NOT_OPENED},
        {"Options", options, DROP_NAT_IP_OPTIONS},
        {"Multicast", out(address("239.1.2.3"), Udp{kept_port, 5353}), DROP_NAT_LOCAL_SCOPE},
        {"LinkLocal", out(address("169.254.169.254"), Tcp{kept_port, 80, tcp_flag::syn}), DROP_NAT_LOCAL_SCOPE},
        {"Broadcast", out(address("255.255.255.255"), Udp{kept_port, 67}), DROP_NAT_LOCAL_SCOPE},
        {"AddressOfNoPod", gone, DROP_NAT_NO_POD},
        {"BadChecksum", broken, DROP_BAD_IP_HEADER},
        {"ClusterAddressOfNobody", out(nobody_ip, Udp{kept_port, 53}), DROP_NO_POD_ROUTE},
    };
}

class NatUnknownPod : public NatTest {};

// A pod on flannel's bridge that nobody has handed over, or one that is gone.
TEST_F(NatUnknownPod, ToAnotherNodeOrAnUntranslatedNetwork_TravelsAsAnyPods) {
    Frame sent = out(n2_ip, Tcp{kept_port, 80, tcp_flag::syn});
    sent.ip.source = address("10.244.1.200");
    EXPECT_TRUE(redirects(underlay_out, bytes(sent), bytes(sent), PATH_STACK_TO_OVERLAY));
    sent.ip.destination = member("n6").address;
    EXPECT_TRUE(passes(underlay_out, bytes(sent), bytes(sent), PATH_STACK_TO_DIRECT));
    EXPECT_EQ(node().flows(), Flows{}) << "it has not passed us on its way up";
    sent.ip.destination = outside_ip;
    EXPECT_TRUE(drops(underlay_out, bytes(sent), DROP_NAT_NO_POD));
    must(map<spec::networks_by_prefix>().update({24, address("203.0.113.0").wire()}, {NETWORK_UNTRANSLATED}));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(sent)));
}

class NatRefuse : public NatTest, public testing::WithParamInterface<Refused> {};
INSTANTIATE_TEST_SUITE_P(Packets, NatRefuse, testing::ValuesIn(refused()),
                         [](const auto& test) { return test.param.name; });

TEST_P(NatRefuse, DoesNotLeave) {
    EXPECT_TRUE(drops(underlay_out, bytes(GetParam().packet), GetParam().reason));
    EXPECT_EQ(translations(), 0U);
    EXPECT_EQ(claims(), 0U);
}

TEST_P(NatRefuse, IsNotTranslatedAtOnceEither) {
    Frame sent = GetParam().packet;
    sent.ethernet = {.destination = pod("web").host_mac, .source = pod("web").mac};
    EXPECT_NE(hasty_node().run(from_web, bytes(sent)).verdict, Verdict::redirect);
    EXPECT_EQ(must(map<spec::nat_by_flow>(hasty_node()).entries()).size(), 0U);
}

class NatLeak : public NatTest {
protected:
    // Dropped when it was to be translated, and so was counted on its way.
    static testing::AssertionResult drops_after(const At& at, const Bytes& packet, forward_path path) {
        const Outcome outcome = node().run(at, packet);
        Counted counted = once(counter_of(DROP_NAT_REWRITE_FAILED, direction_of(at.hook)), packet);
        counted.merge(once(counter_of(path), packet));
        if (outcome.verdict != Verdict::drop) {
            return testing::AssertionFailure() << outcome.verdict;
        }
        return are_counted(node().counted(), counted);
    }
};

TEST_F(NatLeak, NoCutOfAPacket_LeavesWithThePodsAddress) {
    for (const Transport& transport :
         {Transport(Tcp{kept_port, 80, tcp_flag::syn}), Transport(Udp{kept_port, 53}), Transport(Icmp{.id = 9})}) {
        const Bytes whole = bytes(out(outside_ip, transport));
        for (std::size_t length = shortest_test_run; length < whole.size(); ++length) {
            const Outcome outcome =
                node().run(underlay_out, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
            EXPECT_EQ(outcome.verdict, Verdict::drop) << length;
        }
    }
}

// Long enough to name its flow, too short for its header: nothing can be written there.
TEST_F(NatLeak, DatagramThatEndsInItsHeader_IsDroppedInEveryDirection) {
    const auto cut = [](const Frame& frame) {
        Frame datagram = frame;
        datagram.transport = OtherProtocol{IPPROTO_UDP};
        const Bytes whole = ip_bytes(frame);
        datagram.payload = Bytes(whole.begin() + 20, whole.begin() + 26);
        return bytes(datagram);
    };
    const Frame sent = from_pod(pod("web"), outside_ip, Udp{far_port, 4000});
    EXPECT_EQ(leaves(from(sent, web_ip, kept_port)), kept_port);
    const std::uint16_t port = leaves(sent);
    EXPECT_TRUE(drops_after(underlay_out, cut(forwarded(sent)), PATH_STACK_TO_OUTSIDE));
    EXPECT_TRUE(drops_after(from_web, cut(sent), PATH_POD_TO_OUTSIDE));
    EXPECT_TRUE(drops_after(underlay_in, cut(outside_sends(n1_ip, Udp{4000, port})), PATH_OUTSIDE_TO_POD));
    // The host's, when another port is to be written.
    EXPECT_TRUE(drops_after(underlay_out, cut(from(forwarded(sent), n1_ip, kept_port)), PATH_HOST_TO_OUTSIDE));
}

TEST_F(NatLeak, DeviceWithoutAnAddressToTranslateTo_IsNoWayOut) {
    for (Node* one : {&node(), &hasty_node()}) {
        must(map<spec::nat_address_by_device>(*one).update(ifindex_of("eth1"), uplink_of_n1(0, Ipv4Address())));
    }
    const Frame syn = from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(syn)), DROP_NAT_NO_ADDRESS));
    EXPECT_TRUE(comes_to(hasty_node(), from_web, bytes(syn), {Verdict::pass, bytes(syn), 0},
                         once(counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD), bytes(syn))));
}

TEST_F(NatLeak, LinkLocalThatTheConfigurationNames_LeavesAsItIs) {
    must(map<spec::networks_by_prefix>().update({16, address("169.254.0.0").wire()}, {NETWORK_UNTRANSLATED}));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(out(address("169.254.169.254"), Tcp{kept_port, 80}))));
}

TEST_F(NatLeak, TrafficOfOthers_IsLeftAlone) {
    for (const char* source : {"172.17.0.2", "192.168.100.1"}) {
        Frame frame = out(outside_ip, Tcp{far_port, 80, tcp_flag::syn});
        frame.ip.source = address(source);
        EXPECT_TRUE(leaves_alone(underlay_out, bytes(frame)));
    }
    EXPECT_EQ(translations(), 0U);
}

// SCTP: a CRC32c covers the ports and not the addresses.
class NatSctp : public NatTest {
protected:
    // Source port 5000, destination port 3868, and what stands for a verification tag and a checksum.
    static Frame chunk(Frame around, bool reverse = false) {
        around.transport = OtherProtocol{sctp};
        around.payload = {0x13, 0x88, 0x0f, 0x1c, 1, 2, 3, 4, 0xde, 0xad, 0xbe, 0xef};
        if (reverse) {
            std::swap_ranges(around.payload.begin(), around.payload.begin() + 2, around.payload.begin() + 2);
        }
        return around;
    }
};

TEST_F(NatSctp, AddressIsTranslatedAndThePortKeptInBothDirections) {
    const Frame sent = chunk(from_pod(pod("web"), outside_ip, {}));
    EXPECT_TRUE(hands_over(from_web, bytes(sent), HANDOVER_OUTSIDE));
    Frame expected = forwarded(sent);
    expected.ip.source = n1_ip;
    EXPECT_TRUE(passes(underlay_out, bytes(forwarded(sent)), bytes(expected), PATH_STACK_TO_OUTSIDE));
    const Frame reply = chunk(outside_sends(n1_ip, {}), true);
    EXPECT_TRUE(
        redirects(underlay_in, bytes(reply), bytes(delivered(to(reply, web_ip, 0), pod("web"))), PATH_OUTSIDE_TO_POD));
}

// No other port can be given to it: the checksum covers the port. Its replies would go to the pod.
TEST_F(NatSctp, HostsPacketWithTheTupleThatAPodHas_IsRefused) {
    Frame of_the_host = forwarded(chunk(from_pod(pod("web"), outside_ip, {})));
    of_the_host.ip.source = n1_ip;
    EXPECT_EQ(node().run(underlay_out, bytes(forwarded(chunk(from_pod(pod("web"), outside_ip, {}))))).verdict,
              Verdict::pass);
    node().forget_counters();
    EXPECT_TRUE(drops(underlay_out, bytes(of_the_host), DROP_NAT_PORTS_EXHAUSTED));
}

TEST_F(NatSctp, TupleOfTheHost_IsNoPods) {
    Frame of_the_host = forwarded(chunk(from_pod(pod("web"), outside_ip, {})));
    of_the_host.ip.source = n1_ip;
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(of_the_host)));
    EXPECT_TRUE(leaves_alone(underlay_in, bytes(chunk(outside_sends(n1_ip, {}), true))));
    EXPECT_TRUE(
        drops(underlay_out, bytes(forwarded(chunk(from_pod(pod("web"), outside_ip, {})))), DROP_NAT_PORTS_EXHAUSTED));
    EXPECT_TRUE(leaves_alone(underlay_in, bytes(chunk(outside_sends(n1_ip, {}), true))));
}

TEST_F(NatSctp, PortThatAnotherPodHas_IsRefused) {
    EXPECT_EQ(node().run(underlay_out, bytes(forwarded(chunk(from_pod(pod("web"), outside_ip, {}))))).verdict,
              Verdict::pass);
    node().forget_counters();
    EXPECT_TRUE(
        drops(underlay_out, bytes(forwarded(chunk(from_pod(pod("db"), outside_ip, {})))), DROP_NAT_PORTS_EXHAUSTED));
    EXPECT_EQ(translations(), 1U);
}

}  // namespace
}  // namespace podlane::prog
