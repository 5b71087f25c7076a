// SPDX-License-Identifier: Apache-2.0
// Whole agents that have the cluster's state, and their own subnets, from an etcd on the wire:
//
//   pod a --- n1 (192.168.0.1) === VXLAN on the wire === n2 (192.168.0.2) --- pod b
//                                     | 192.168.0.254
//                                   etcd
//
// n2's place may have a flannel node: f (192.168.0.22), pod 10.244.22.8.
#include <gmock/gmock.h>

#include "agent/node/own_address.h"
#include "test/net/harness/etcd.h"
#include "test/net/harness/flannel_node.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

NodeOptions node_options(unsigned number) {
    NodeOptions options;
    options.name = fmt::format("n{}", number);
    options.internal_ip = Ipv4Address::from_host(0xc0a80000U + number);
    options.state = "source: etcd, cacheFile: '', etcd: {endpoints: ['http://192.168.0.254:2379']}";
    return options;
}

TEST(EtcdAgentTest, PodsOfTwoNodes_ReachEachOtherInTheSubnetsThatTheyTook) {
    Underlay underlay;
    const Etcd etcd(underlay.ns(), "192.168.0.254");
    etcd.put("/coreos.com/network/config", R"({"Network":"10.244.0.0/16"})");
    Node n1(underlay, node_options(1));
    Node n2(underlay, node_options(2));
    n1.start_agent();
    n2.start_agent();
    n1.wait_ready();
    n2.wait_ready();
    EXPECT_THAT(etcd.keys("/coreos.com/network/subnets/"), testing::SizeIs(2));
    Pod& a = n1.add_pod("a");
    Pod& b = n2.add_pod("b");
    ASSERT_TRUE(wait_until([&] { return ping(a.ns(), b.address(), 1).answered == 1; }, 5s));
    const auto outcome = exchange_tcp(a.endpoint(), b.endpoint(), 1'000'000);
    EXPECT_EQ(outcome.problem, "");
    EXPECT_EQ(outcome.client_seen_as, a.address());
    // Both nodes are told apart by the addresses that they took.
    EXPECT_NE(a.address().host() >> 8U, b.address().host() >> 8U);
    EXPECT_EQ(n1.agentctl_json({"node", "list"}).size(), 2U);
}

// The flannel node is the kernel's own devices, told by hand what etcd says of n1: a VTEP MAC that were not the
// overlay's would reach nobody.
TEST(EtcdAgentTest, NodeThatWasFlannels_KeepsSubnetAndMacAndReachesFlannelNodes) {
    Underlay underlay;
    const Etcd etcd(underlay.ns(), "192.168.0.254");
    const std::string own_key = "/coreos.com/network/subnets/10.244.9.0-24";
    const auto value = [](Ipv4Address address, MacAddress mac) {
        return fmt::format(R"({{"PublicIP":"{}","PublicIPv6":null,"BackendType":"vxlan",)"
                           R"("BackendData":{{"VNI":1,"VtepMAC":"{}"}}}})",
                           address, mac);
    };
    FlannelNode f(underlay, "f", Cluster::node_address(22), Cluster::pod_cidr(22));
    const auto mac = MacAddress::parse("c6:d2:32:6f:8f:44").value();
    etcd.put("/coreos.com/network/config", R"({"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}})");
    etcd.put("/coreos.com/network/subnets/10.244.22.0-24", value(Cluster::node_address(22), f.as_peer().vtep_mac));
    etcd.put(own_key, value(Cluster::node_address(1), mac));
    auto options = node_options(1);
    options.flannel = true;
    Node n1(underlay, options);
    n1.start_agent();
    n1.wait_ready();
    EXPECT_EQ(etcd.get(own_key).value, value(n1.address(), mac));
    f.add_peer({n1.address(), Ipv4Prefix::parse("10.244.9.0/24").value(), mac});
    Pod& a = n1.add_pod("a");
    ASSERT_TRUE(wait_until([&] { return ping(a.ns(), f.pod().address, 1).answered == 1; }, 5s));
    expect_ping(*f.pod().ns, a.address());
    expect_ping(f.ns(), a.address());  // from the .0 address
}

TEST(EtcdAgentTest, OwnAddress_IsTheDefaultRoutesOrTheDevices) {
    Underlay underlay;
    const Namespace node("node");
    const auto found = [&](const std::string& device) {
        return in_namespace(node, [&] {
            const auto address = find_own_address(device);
            return address ? address->to_string() : address.error().message;
        });
    };
    EXPECT_THAT(found(""), testing::HasSubstr("no default route"));
    underlay.join(node, "node", Ipv4Address::parse("192.168.0.7").value());
    ip(node, "link add other type bridge");
    EXPECT_EQ(found("other"), "underlay device other has no IPv4 address");
    ip(node, "address add 172.16.0.1/24 dev other");
    EXPECT_EQ(found(""), "192.168.0.7");
    EXPECT_EQ(found("eth0"), "192.168.0.7");
    EXPECT_EQ(found("other"), "172.16.0.1");
    EXPECT_EQ(found("none"), "underlay device none does not exist");
}

}  // namespace
}  // namespace podlane::net
