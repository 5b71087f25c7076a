// SPDX-License-Identifier: Apache-2.0
// What an agent tells other programs on its node.
//
//   n1 (192.168.0.1, podCIDR 10.244.1.0/24) --- wire
#include <filesystem>
#include <fstream>

#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

class SubnetEnvTest : public testing::Test {
protected:
    void publish(const std::string& pod_cidr) {
        node_.write_state(to_node_list({{.name = "n1",
                                         .internal_ip = node_.address(),
                                         .pod_cidrs = {Ipv4Prefix::parse(pod_cidr).value()},
                                         .annotations = {}}}));
    }
    [[nodiscard]] std::string text() const {
        std::ifstream file(node_.run_dir() / "subnet.env");
        return {std::istreambuf_iterator<char>(file), {}};
    }
    static std::string env(const std::string& subnet, unsigned mtu) {
        return fmt::format("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET={}\nFLANNEL_MTU={}\nFLANNEL_IPMASQ=true\n",
                           subnet, mtu);
    }
    Underlay underlay_{1500, Ipv4Address::parse("192.168.0.254").value()};
    Node node_{underlay_,
               {.name = "n1",
                .internal_ip = Ipv4Address::parse("192.168.0.1").value(),
                .pod_cidr = Ipv4Prefix::parse("10.244.1.0/24").value(),
                .extra_config = ""}};
};

TEST_F(SubnetEnvTest, File_FollowsMtuAndPodCidrAndStays) {
    node_.start_agent();
    ASSERT_TRUE(wait_until([&] { return node_.agentctl({"status"}).status == 5; }, 10s));
    EXPECT_EQ(text(), "") << "there is no state yet";
    publish("10.244.1.0/24");
    EXPECT_TRUE(wait_until([&] { return text() == env("10.244.1.1/24", 1450); }, 10s)) << text();
    EXPECT_EQ(std::filesystem::status(node_.run_dir() / "subnet.env").permissions(), std::filesystem::perms(0644));
    ip(node_.ns(), fmt::format("link set {} mtu 1400", Underlay::node_device));
    EXPECT_TRUE(wait_until([&] { return text() == env("10.244.1.1/24", 1350); }, 5s)) << text();
    publish("10.244.7.64/26");
    EXPECT_TRUE(wait_until([&] { return text() == env("10.244.7.65/26", 1350); }, 5s)) << text();
    std::filesystem::remove(node_.run_dir() / "subnet.env");
    EXPECT_TRUE(wait_until([&] { return text() == env("10.244.7.65/26", 1350); }, 5s)) << text();
    EXPECT_EQ(node_.stop_agent(), 0);
    EXPECT_EQ(text(), env("10.244.7.65/26", 1350));
}

}  // namespace
}  // namespace podlane::net
