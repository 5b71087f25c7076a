// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// to-overlay and from-overlay: the overlay device's own hooks. A test run carries no tunnel key, as what comes by a
// device of flannel's; so what from-overlay does with a key, and which one to-overlay sets, is seen in test/net.
namespace podlane::prog {
namespace {

const Tcp syn{40000, 80, tcp_flag::syn};
constexpr std::uint32_t kube_proxy_mark = 0x4000;

// What the host sends to remote pods: the MACs are the device's affair.
Frame host_to(Ipv4Address to, const Transport& transport = syn, std::size_t payload_length = 32) {
    return {.ethernet = {.destination = {}, .source = member("n1").vtep_mac},
            .ip = {.source = n1_ip, .destination = to},
            .transport = transport,
            .payload = pattern(payload_length)};
}

class ToOverlay : public ProgTest {
protected:
    // Passed to the device, which encapsulates it: from VTEP MAC to VTEP MAC, the mark cleared.
    [[nodiscard]] static testing::AssertionResult leaves_for(const Member& peer, const At& at, const Frame& sent) {
        Frame expected = sent;
        expected.ethernet.destination = peer.vtep_mac;
        expected.ethernet.source = member("n1").vtep_mac;
        return comes_to(node(), at, bytes(sent), {Verdict::pass, bytes(expected), 0},
                        at.mark == fast_path_mark ? Counted{} : once(counter_of(PATH_HOST_TO_OVERLAY), bytes(sent)));
    }
};

TEST_F(ToOverlay, HostToRemotePod_GetsThePeersMac) {
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, host_to(api_ip)));
    EXPECT_TRUE(leaves_for(member("n3"), overlay_out, host_to(n3_pod_ip, Udp{5000, 53})));
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_F(ToOverlay, HostToAnotherNodesAddresses_GetsThePeersMac) {
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, host_to(n2_ip)));
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, host_to(address("10.244.2.0"))));
}

// The stack's way out of the underlay ends here too, with the underlay's MAC.
TEST_F(ToOverlay, WhateverMacItComesWith_IsReplacedByOurVteps) {
    Frame frame = host_to(api_ip);
    frame.ethernet.source = mac("02:00:00:00:00:99");
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, frame));
}

TEST_F(ToOverlay, KubeProxysMark_IsCleared) {
    At marked = overlay_out;
    marked.mark = kube_proxy_mark;
    EXPECT_TRUE(leaves_for(member("n2"), marked, host_to(api_ip)));
}

TEST_F(ToOverlay, FragmentsAndOptions_Pass) {
    Frame fragment = host_to(api_ip, Udp{5000, 53});
    fragment.ip.fragment = more_fragments;
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, fragment));
    fragment.ip.fragment = 100;
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, fragment));
    Frame options = host_to(api_ip);
    options.ip.options = Bytes(8, 1);
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, options));
}

TEST_F(ToOverlay, HostsOwnTtl_IsItsOwnAffair) {
    Frame frame = host_to(api_ip, Udp{33434, 33434});
    frame.ip.ttl = 1;  // traceroute
    EXPECT_TRUE(leaves_for(member("n2"), overlay_out, frame));
}

TEST_F(ToOverlay, FastPathPacket_IsNeitherCountedAgainNorLearned) {
    At fast = overlay_out;
    fast.mark = fast_path_mark;
    EXPECT_TRUE(leaves_for(member("n2"), fast, from_pod(pod("web"), api_ip, Tcp{40000, 80})));
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_F(ToOverlay, WhatBelongsToNoOtherNode_IsDropped) {
    for (const Ipv4Address to :
         {nobody_ip, outside_ip, web_ip, n1_ip, address("10.244.1.200"), address("10.244.1.0")}) {
        SCOPED_TRACE(to.to_string());
        EXPECT_TRUE(drops(overlay_out, bytes(host_to(to)), DROP_NO_POD_ROUTE));
    }
}

TEST_F(ToOverlay, OtherThanIpv4_IsDropped) {
    for (const unsigned type : {0x86ddU, 0x0806U, 0x8100U}) {
        Frame frame = host_to(api_ip);
        frame.ethernet.type = static_cast<std::uint16_t>(type);
        EXPECT_TRUE(drops(overlay_out, bytes(frame), DROP_UNSUPPORTED_ETHERTYPE));
    }
}

TEST_F(ToOverlay, BrokenPacket_IsDropped) {
    Frame frame = host_to(api_ip);
    frame.ip.checksum = std::uint16_t{0x1234};
    EXPECT_TRUE(drops(overlay_out, bytes(frame), DROP_BAD_IP_HEADER));
    const Bytes whole = bytes(host_to(api_ip));
    for (std::size_t length = shortest_test_run; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        EXPECT_TRUE(drops(overlay_out, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)),
                          DROP_TRUNCATED));
    }
}

class FromOverlay : public ProgTest {};

TEST_F(FromOverlay, PacketWithoutTunnelKey_IsTakenFromAPeerAlone) {
    const Frame inner = from_pod(pod("api"), web_ip, syn);
    EXPECT_TRUE(redirects(overlay_in, bytes(inner), bytes(delivered(inner, pod("web"))), PATH_OVERLAY_TO_POD));
    const Bytes for_host = bytes(from_pod(pod("api"), n1_ip, syn));
    EXPECT_TRUE(comes_to(node(), overlay_in, for_host, {Verdict::pass, for_host, 0},
                         once(counter_of(PATH_OVERLAY_TO_HOST), for_host)));
    for (const Ipv4Address source : {outside_ip, nobody_ip, n1_ip, address("10.244.1.200"), web_ip}) {
        SCOPED_TRACE(source.to_string());
        for (const Ipv4Address to : {web_ip, n1_ip, outside_ip}) {
            Frame forged = from_pod(pod("api"), to, syn);
            forged.ip.source = source;
            EXPECT_TRUE(drops(overlay_in, bytes(forged), DROP_TUNNEL_KEY_FAILED));
        }
    }
}

TEST_F(FromOverlay, OtherThanIpv4_IsDropped) {
    for (const unsigned type : {0x86ddU, 0x0806U, 0x8100U}) {
        Frame frame = from_pod(pod("api"), web_ip, syn);
        frame.ethernet.type = static_cast<std::uint16_t>(type);
        EXPECT_TRUE(drops(overlay_in, bytes(frame), DROP_BAD_INNER_FRAME));
    }
}

TEST_F(FromOverlay, BrokenPacket_IsDropped) {
    Frame frame = from_pod(pod("api"), web_ip, syn);
    frame.ip.checksum = std::uint16_t{0x1234};
    EXPECT_TRUE(drops(overlay_in, bytes(frame), DROP_BAD_INNER_FRAME));
    const Bytes whole = bytes(from_pod(pod("api"), web_ip, syn));
    for (std::size_t length = shortest_test_run; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        EXPECT_TRUE(drops(overlay_in, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)),
                          DROP_BAD_INNER_FRAME));
    }
}

}  // namespace
}  // namespace podlane::prog
