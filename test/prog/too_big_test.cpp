// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// from-pod: packets that must not be fragmented and are larger than the path to another node. The pod is told by ICMP
// (RFC 792, RFC 1191) what fits.
namespace podlane::prog {
namespace {

constexpr std::size_t quoted_length = 80;
const Tcp syn{40000, 80, tcp_flag::syn};

// The answer to `sent`. The identification is free and taken from `output`.
Bytes frag_needed(const Frame& sent, std::uint32_t mtu, const Bytes& output) {
    constexpr std::size_t identification = 18;
    Frame error{.ethernet = {.destination = pod("web").mac, .source = pod("web").host_mac},
                .ip = {.source = n1_ip,
                       .destination = web_ip,
                       .tos = static_cast<std::uint8_t>(0xc0 | (sent.ip.tos & 0x1e)),
                       .ttl = 64,
                       .id = read16(output, identification),
                       .fragment = 0},
                .transport = Icmp{
                    .type = icmp_type::unreachable, .code = 4, .id = 0, .sequence = static_cast<std::uint16_t>(mtu)}};
    error.payload = ip_bytes(sent);
    error.payload.resize(quoted_length);
    return bytes(error);
}

class TooBigTest : public ProgTest {
protected:
    static testing::AssertionResult tells(const At& at, const Frame& sent, std::uint32_t mtu) {
        const Bytes packet = bytes(sent);
        const Outcome actual = node().run(at, packet);
        const Counted counted = node().counted();
        if (auto same = is_outcome(actual, {Verdict::redirect, frag_needed(sent, mtu, actual.packet), at.mark});
            !same) {
            return same << "\n  counted " << testing::PrintToString(counted);
        }
        return are_counted(counted, once(counter_of(DROP_TOO_BIG, DIRECTION_FROM_POD), packet));
    }
};

struct Way {
    Ipv4Address to;
    std::uint32_t mtu;
};
const std::vector<Way> ways = {{api_ip, path_mtu}, {n2_ip, path_mtu},     {n3_pod_ip, path_mtu},
                               {n3_ip, path_mtu},  {n6_pod_ip, link_mtu}, {n6_ip, link_mtu}};

TEST_F(TooBigTest, PacketThatMustNotBeFragmented_IsAnsweredWithTheMtuOfItsPath) {
    for (const auto& [to, mtu] : ways) {
        SCOPED_TRACE(to.to_string());
        for (const Transport& transport : {Transport(syn), Transport(Udp{5000, 53}), Transport(Icmp{.id = 3}),
                                           Transport(OtherProtocol{47}), Transport(OtherProtocol{132})}) {
            EXPECT_TRUE(tells(from_web, from_pod(pod("web"), to, transport, mtu - 7), mtu));
            EXPECT_TRUE(tells(from_web, from_pod(pod("web"), to, transport, 3000), mtu));
        }
    }
}

TEST_F(TooBigTest, OneByteDecides) {
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), api_ip, syn, path_mtu - 40), member("n2")));
    EXPECT_TRUE(tells(from_web, from_pod(pod("web"), api_ip, syn, path_mtu - 39), path_mtu));
}

TEST_F(TooBigTest, GsoPacket_IsAnsweredByTheSizeOfItsSegments) {
    At at = from_web;
    at.gso_segs = 3;
    at.gso_size = path_mtu - 39;
    EXPECT_TRUE(tells(at, from_pod(pod("web"), api_ip, syn, 3000), path_mtu));
    EXPECT_TRUE(tells(at, from_pod(pod("web"), n2_ip, syn, 3000), path_mtu));
}

TEST_F(TooBigTest, TosOfThePacket_IsThatOfTheAnswer) {
    for (const unsigned tos : {0x00U, 0x03U, 0x28U, 0xb8U, 0xffU}) {
        SCOPED_TRACE(tos);
        Frame sent = from_pod(pod("web"), n2_ip, Udp{5000, 53}, 1500);
        sent.ip.tos = static_cast<std::uint8_t>(tos);
        EXPECT_TRUE(tells(from_web, sent, path_mtu));
    }
}

TEST_F(TooBigTest, IcmpError_IsNeverAnswered) {
    Frame error = from_pod(pod("web"), api_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(from_pod(pod("web"), api_ip, Udp{5000, 53}));
    node().set_flow({17, web_ip, 53, api_ip, 5000}, FLOW_OWNER_FAST);
    error.payload.resize(1500);
    const auto outcome = node().run(from_web, bytes(error));
    EXPECT_EQ(outcome.verdict, Verdict::pass);
    EXPECT_EQ(outcome.packet, bytes(error));
}

TEST_F(TooBigTest, PacketForAPeerWithoutAPath_IsLeftToTheStackToAnswer) {
    EXPECT_TRUE(hands_over(from_web, bytes(from_pod(pod("web"), member("n4").address, syn, 1500)), HANDOVER_TOO_BIG));
}

// The stack knows the MTU of the pod's link.
TEST_F(TooBigTest, PacketForALocalPod_IsLeftToTheStackToAnswer) {
    EXPECT_TRUE(hands_over(from_web, bytes(from_pod(pod("web"), small_ip, syn, 1300)), HANDOVER_TOO_BIG));
}

}  // namespace
}  // namespace podlane::prog
