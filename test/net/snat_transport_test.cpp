// SPDX-License-Identifier: Apache-2.0
// What packets look like when they come out translated. harness/snat.h has the topology.
#include <linux/udp.h>
#include <netinet/in.h>

#include <gmock/gmock.h>

#include "test/net/harness/service.h"
#include "test/net/harness/snat.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t bulk_bytes = 30'000'000;

FrameFilter larger_than_the_mtu() {
    return [](const Frame& frame) { return frame.length > 1514 && decode_ipv4_frame(frame.bytes).has_value(); };
}

class SnatTransport : public SnatTest {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config = "serviceCIDRs: [10.96.0.0/12]\n";
        return options;
    }
    void set_offload_everywhere(Offload offload) {
        for (const auto& device :
             {pod_a().device(), node(1).device(), DeviceRef{outside_, Underlay::node_device},
              DeviceRef{wire(), Underlay::port_of("n1")}, DeviceRef{wire(), Underlay::port_of("outside")}}) {
            set_segmentation_offload(device, offload);
        }
    }
};

TEST_F(SnatTransport, Bulk_ArrivesWholeInLargeSegmentsInSmallOnesAndWithoutOffloads) {
    set_offload_everywhere(Offload::on);
    Capture large(outside_, Underlay::node_device, larger_than_the_mtu());
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), outside(), bulk_bytes));
    const auto seen = large.frames();
    const auto from_the_node = std::ranges::count(seen, false, &Frame::outgoing);
    EXPECT_GT(from_the_node, 100) << "segments were cut on the way";
    EXPECT_GT(static_cast<std::ptrdiff_t>(seen.size()) - from_the_node, 100);

    set_offload_everywhere(Offload::off);
    Capture none(outside_, Underlay::node_device, larger_than_the_mtu());
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), outside(), bulk_bytes));
    EXPECT_EQ(none.frames().size(), 0U);

    // What leaves a device that computes no checksums has one, and the receiver looks at it.
    for (const auto& device : {node(1).device(), DeviceRef{outside_, Underlay::node_device}}) {
        must_run(device.ns, {"ethtool", "-K", device.name, "tx", "off"});
    }
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), outside(), bulk_bytes / 10));
    expect_seen_as_node(echo_udp(pod_a().endpoint(), outside(), {1, 700, 1400}));
    EXPECT_EQ(drops(), "[]");
}

// UDP_SEGMENT, as QUIC's servers use it: one packet through the programs, many on the wire.
TEST_F(SnatTransport, DatagramsThatAreSentAsOne_ArriveEach) {
    constexpr std::uint16_t each = 1400;
    constexpr std::size_t count = 40;
    for (const Offload offload : {Offload::on, Offload::off}) {
        set_segmentation_offload(node(1).device(), offload);
        const Fd server = server_socket(outside_, outside_address, SOCK_DGRAM, 2s);
        const Fd client = client_socket(pod_a().ns(), SOCK_DGRAM, 2s);
        ASSERT_TRUE(connect_to(client, local_address(server)));
        set_option(client, IPPROTO_UDP, UDP_SEGMENT, each);
        std::string sent(count * each, '\0');
        for (std::size_t i = 0; i < sent.size(); ++i) {
            sent[i] = static_cast<char>(i * 7 + i / each);
        }
        ASSERT_EQ(::send(client.get(), sent.data(), sent.size(), 0), static_cast<ssize_t>(sent.size()));
        for (std::size_t i = 0; i < count; ++i) {
            std::string heard(2 * each, '\0');
            ASSERT_EQ(::recv(server.get(), heard.data(), heard.size(), 0), each) << i;
            EXPECT_EQ(heard.substr(0, each), sent.substr(i * each, each)) << i;
        }
    }
    EXPECT_EQ(drops(), "[]");
}

TEST_F(SnatTransport, DatagramWithoutAChecksum_ArrivesWithoutOne) {
    const Fd server = server_socket(outside_, outside_address, SOCK_DGRAM, 2s);
    Capture seen(outside_, Underlay::node_device, udp_frames_to(local_address(server).port));
    const Fd client = client_socket(pod_a().ns(), SOCK_DGRAM, 2s);
    ASSERT_TRUE(connect_to(client, local_address(server)));
    for (const int without : {1, 0}) {
        set_option(client, SOL_SOCKET, SO_NO_CHECK, without);
        ASSERT_EQ(::send(client.get(), "datagram", 8, 0), 8);
        std::array<char, 16> heard{};
        ASSERT_EQ(::recv(server.get(), heard.data(), heard.size(), 0), 8);
    }
    const auto frames = seen.frames();
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(decode_ipv4_frame(frames[0].bytes)->udp_checksum, 0);
    EXPECT_NE(decode_ipv4_frame(frames[1].bytes)->udp_checksum, 0);
}

// As a resolver asks many servers.
TEST_F(SnatTransport, OneSocketToManyDestinations_HearsEachFromWhereItAsked) {
    std::vector<std::unique_ptr<Backend>> backends;
    std::vector<SocketAddress> servers;
    for (std::uint32_t number = 1; number <= 20; ++number) {
        const auto address = Ipv4Address::from_host(outside_address.host() + number);
        ip(outside_, fmt::format("address add {}/24 dev eth0", address));
        servers.push_back({address, 53});
        backends.push_back(std::make_unique<Backend>(outside_, servers.back(), Transport::udp, "dns"));
    }
    const auto served = ask_in_turn(pod_a().ns(), servers, 20);
    EXPECT_EQ(served.problem, "");
    EXPECT_EQ(served.by, (std::map<std::string, unsigned>{{fmt::format("dns {}", node(1).address()), 400U}}));
    const auto many = ask_service(pod_a().ns(), servers[0], 500, Transport::udp);
    EXPECT_EQ(many.problem, "");
    EXPECT_EQ(many.by, (std::map<std::string, unsigned>{{fmt::format("dns {}", node(1).address()), 500U}}));
    EXPECT_EQ(drops(), "[]");
}

TEST_F(SnatTransport, EchoThatExpiresOnItsWay_IsReportedToThePod) {
    const Namespace far("far");
    join_far(far, 1500);
    EXPECT_THAT(run(pod_a().ns(), {"ping", "-n", "-c", "1", "-W", "1", "-t", "2", far_address.to_string()}).out,
                HasSubstr(fmt::format("From {} icmp_seq=1 Time to live exceeded", cluster_->underlay().router())));
    expect_ping(pod_a().ns(), far_address);
    const auto probe = probe_udp(pod_a().ns(), far_address, 2);
    EXPECT_EQ(probe.kind, ProbeOutcome::Kind::time_exceeded);
    EXPECT_EQ(probe.from, cluster_->underlay().router());
}

}  // namespace
}  // namespace podlane::net
