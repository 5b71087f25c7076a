// SPDX-License-Identifier: Apache-2.0
// A node before podlane, with it, and after `podlane-agent cleanup`.
//
//   node 1 (192.168.0.1) --- wire, with routes to two peers that exist in the state file only
#include <gmock/gmock.h>

#include "test/net/harness/cluster.h"
#include "test/net/harness/sandbox.h"
#include "test/net/two_nodes_with_switches.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

struct Variant {
    std::string name;
    std::vector<std::string> without;
};

class CleanupTest : public testing::TestWithParam<Variant> {
protected:
    CleanupTest()
        : node_(underlay_, {.name = "n1",
                            .internal_ip = Cluster::node_address(1),
                            .pod_cidr = Cluster::pod_cidr(1),
                            .extra_config = {},
                            .without = GetParam().without}) {
        node_.write_state(to_node_list({{"n1", Cluster::node_address(1), {Cluster::pod_cidr(1)}, {}},
                                        {"n2", Cluster::node_address(2), {Cluster::pod_cidr(2)}, {}},
                                        {"n3", Cluster::node_address(3), {Cluster::pod_cidr(3)}, {}}}));
    }
    // What podlane could have left behind, each kind as its own tool prints it.
    [[nodiscard]] std::map<std::string, std::string> snapshot() {
        std::map<std::string, std::string> kinds;
        for (const auto* command : {"link show", "addr show", "route show table all", "rule show",
                                    "neigh show nud permanent", "link show type vxlan"}) {
            kinds[command] = ip(node_.ns(), command);
        }
        kinds["sysctls"] = must_run(
            node_.ns(), {"sh", "-c", "cd /proc/sys/net/ipv4 && cat ip_forward conf/all/* conf/default/* conf/eth0/*"});
        kinds["rules"] = must_run(node_.ns(), {"sh", "-c", "iptables-save | grep -v ^#; true"});
        return kinds;
    }
    [[nodiscard]] Completed clean_up(bool dry_run) {
        std::vector<std::string> command = {(program_dir() / "podlane-agent").string(), "cleanup", "--config",
                                            node_.config_file().string()};
        if (dry_run) {
            command.emplace_back("--dry-run");
        }
        return run(node_.ns(), command);
    }

    Underlay underlay_;
    Node node_;
};

TEST_P(CleanupTest, NodeIsAsItWasBefore) {
    set_sysctl(node_.ns(), "net/ipv4/ip_forward", "0");
    ip(node_.ns(), "route add 10.77.0.0/16 via 192.168.0.254 proto static");
    const auto before = snapshot();
    node_.start_agent();
    node_.wait_ready();
    node_.remove_pod(node_.add_pod("a"));
    EXPECT_EQ(clean_up(false).status, 1) << "an agent runs";
    EXPECT_EQ(node_.stop_agent(), 0);
    const auto during = snapshot();
    EXPECT_NE(during, before);

    const auto planned = clean_up(true);
    EXPECT_TRUE(planned.ok()) << planned.describe();
    EXPECT_THAT(planned.out, HasSubstr("delete link podlane0"));
    EXPECT_EQ(snapshot(), during);

    const auto cleaned = clean_up(false);
    EXPECT_TRUE(cleaned.ok()) << cleaned.describe();
    EXPECT_EQ(cleaned.out, planned.out + "remains: nothing\n");
    const auto after = snapshot();
    for (const auto& [kind, text] : before) {
        EXPECT_EQ(after.at(kind), text) << kind;
    }
    EXPECT_EQ(count_hooks(node_.device()), HookCount{});
    EXPECT_FALSE(std::filesystem::exists(node_.bpffs()));
    EXPECT_EQ(clean_up(false).out, "remains: nothing\n");
}

INSTANTIATE_TEST_SUITE_P(Hooks, CleanupTest,
                         testing::Values(Variant{"AsTheKernelHasThem", {}}, Variant{"Clsact", {"tcx"}}),
                         [](const auto& variant) { return variant.param.name; });

}  // namespace
}  // namespace podlane::net
