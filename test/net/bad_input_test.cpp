// SPDX-License-Identifier: Apache-2.0
// An agent that is told nonsense: one clear line, the right exit status, and nothing of it left behind.
//
//   node (192.168.0.1) eth0 --- wire          no cluster, no pods: the agent never gets that far
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "test/net/harness/node.h"
#include "test/net/harness/sandbox.h"

namespace podlane::net {
namespace {

struct BadInput {
    std::string what;
    // Instead of, or after, the good configuration's lines.
    std::string replaced;
    std::string replacement;
    // Further arguments.
    std::vector<std::string> arguments;
    int status = 1;
    // What the message must name.
    std::vector<std::string> named;
};

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

class BadInputTest : public testing::Test {
protected:
    void SetUp() override {
        underlay_ = std::make_unique<Underlay>();
        node_ = std::make_unique<Node>(
            *underlay_,
            NodeOptions{
                "n1", Ipv4Address::from_host(0xc0a80001), Ipv4Prefix::parse("10.244.1.0/24").value(), false, {}});
        node_->write_state(to_node_list({{"n1", node_->address(), {node_->pod_cidr()}, {}}}));
        std::ifstream file(node_->config_file());
        good_config_.assign(std::istreambuf_iterator<char>(file), {});
        before_ = traces();
    }
    // Of this namespace: what bpftool lists for netfilter is the whole machine's.
    [[nodiscard]] std::string programs() {
        const auto shown = nlohmann::json::parse(must_run(node_->ns(), {"bpftool", "-j", "net", "show"}));
        return shown.at(0).at("xdp").dump() + shown.at(0).at("tc").dump();
    }
    // Everything an agent could leave in its namespace and on the disk.
    [[nodiscard]] std::string traces() {
        std::string found = ip(node_->ns(), "address show") + ip(node_->ns(), "route show table all") +
                            ip(node_->ns(), "neighbour show nud permanent") + ip(node_->ns(), "rule show") +
                            programs() + get_sysctl(node_->ns(), "net/ipv4/ip_forward");
        std::ifstream mounts("/proc/self/mountinfo");
        for (std::string line; std::getline(mounts, line);) {
            found += line.find(node_->bpffs().parent_path().string()) != std::string::npos ? line + "\n" : "";
        }
        for (const auto& entry : std::filesystem::recursive_directory_iterator(node_->run_dir())) {
            found += entry.path().string() + "\n";
        }
        return found;
    }
    Completed run_agent(std::vector<std::string> command, const std::string& config,
                        const std::vector<std::string>& arguments) {
        write_file_atomically(node_->config_file(), config);
        command.insert(command.end(), {(program_dir() / "podlane-agent").string(), "--config",
                                       node_->config_file().string(), "--log-level", "error"});
        command.insert(command.end(), arguments.begin(), arguments.end());
        RunOptions options;
        options.timeout = std::chrono::seconds(10);
        return run(node_->ns(), command, options);
    }
    [[nodiscard]] std::string config_for(const BadInput& input) const {
        std::string config = good_config_;
        if (input.replaced.empty()) {
            return config + input.replacement;
        }
        const auto at = config.find(input.replaced);
        EXPECT_NE(at, std::string::npos) << input.replaced;
        return config.replace(at, input.replaced.size(), input.replacement);
    }
    void expect_one_line_naming(const Completed& completed, const std::vector<std::string>& named) {
        EXPECT_EQ(lines_of(completed.err).size(), 1U) << completed.describe();
        for (const auto& name : named) {
            EXPECT_NE(completed.err.find(name), std::string::npos)
                << "does not name \"" << name << "\": " << completed.describe();
        }
    }

    std::unique_ptr<Underlay> underlay_;
    std::unique_ptr<Node> node_;
    std::string good_config_;
    std::string before_;
};

std::vector<BadInput> bad_configurations() {
    return {
        {"an unknown key", "", "nodeNam: n2\n", {}, 1, {"nodeNam", "config.yaml", ":8"}},
        {"an unknown key inside a map", "mode: vxlan", "mode: vxlan, vnii: 3", {}, 1, {"vnii", ":7"}},
        {"YAML that does not parse", "clusterCIDRs: [", "clusterCIDRs: [[", {}, 1, {"config.yaml"}},
        {"a number where a list belongs", "[10.244.0.0/16]", "5", {}, 1, {"clusterCIDRs"}},
        {"a map where a name belongs", "nodeName: n1", "nodeName: {a: b}", {}, 1, {"nodeName"}},
        {"a clusterCIDR that is none", "10.244.0.0/16", "10.244.0.0/33", {}, 1, {"clusterCIDRs", "10.244.0.0/33"}},
        {"a VNI of more than 24 bits", "mode: vxlan", "mode: vxlan, vni: 16777216", {}, 1, {"vni", "16777216"}},
        {"a port of more than 16 bits", "mode: vxlan", "mode: vxlan, port: 65536", {}, 1, {"port", "65536"}},
        {"port 0", "mode: vxlan", "mode: vxlan, port: 0", {}, 1, {"port"}},
        {"an unknown overlay mode", "mode: vxlan", "mode: geneve", {}, 1, {"mode", "geneve"}},
        {"an unknown state source", "source: file", "source: zookeeper", {}, 1, {"source", "zookeeper"}},
    };
}

TEST_F(BadInputTest, BadConfiguration_EndsTheAgentWithOneLine) {
    for (const auto& input : bad_configurations()) {
        SCOPED_TRACE(input.what);
        const auto completed = run_agent({}, config_for(input), input.arguments);
        EXPECT_EQ(completed.status, input.status) << completed.describe();
        expect_one_line_naming(completed, input.named);
        EXPECT_EQ(traces(), before_);
    }
}

TEST_F(BadInputTest, CheckConfig_JudgesWithoutStarting) {
    const auto good = run_agent({}, good_config_, {"--check-config"});
    EXPECT_EQ(good.status, 0) << good.describe();
    for (const auto& input : bad_configurations()) {
        SCOPED_TRACE(input.what);
        const auto completed = run_agent({}, config_for(input), {"--check-config"});
        EXPECT_EQ(completed.status, 1) << completed.describe();
        expect_one_line_naming(completed, input.named);
    }
    EXPECT_EQ(traces(), before_);
}

TEST_F(BadInputTest, MachineThatLacksSomething_EndsTheAgentWithOneLine) {
    const std::string bpffs = node_->bpffs().string();
    const std::string a_file = node_->state_file().string();
    const std::vector<BadInput> inputs = {
        {"an underlay device that is not there", "device: eth0", "device: nosuch0", {}, 1, {"nosuch0"}},
        {"a bpffs below a file", bpffs, a_file + "/podlane", {}, 1, {a_file}},
        {"a bpffs where nothing can be mounted",
         bpffs,
         "/proc/no-such-folder/podlane",
         {},
         1,
         {"/proc/no-such-folder"}},
        {"a runDir below a file", node_->run_dir().string(), a_file + "/run", {}, 1, {a_file}},
    };
    for (const auto& input : inputs) {
        SCOPED_TRACE(input.what);
        const auto completed = run_agent({}, config_for(input), input.arguments);
        EXPECT_EQ(completed.status, input.status) << completed.describe();
        expect_one_line_naming(completed, input.named);
        EXPECT_EQ(traces(), before_);
    }
}

TEST_F(BadInputTest, KernelThatLacksSomething_EndsTheAgentWithOneLine) {
    struct Lack {
        std::vector<std::string> features;
        std::vector<std::string> named;
    };
    const std::vector<Lack> lacks = {
        {{"bpf-fs"}, {"BPF file system", "Linux 5.10"}},
        {{"sch-cls"}, {"BPF_PROG_TYPE_SCHED_CLS", "Linux 5.10"}},
        {{"redirect-peer"}, {"bpf_redirect_peer", "Linux 5.10"}},
        {{"redirect-neigh"}, {"bpf_redirect_neigh", "Linux 5.10"}},
        {{"vxlan"}, {"VXLAN", "module vxlan", "Linux 5.10"}},
        {{"tcx", "clsact"}, {"TCX", "Linux 6.6", "sch_ingress", "cls_bpf", "Linux 5.10"}},
    };
    for (const auto& lack : lacks) {
        SCOPED_TRACE(lack.features.front());
        std::vector<std::string> switches;
        for (const auto& feature : lack.features) {
            switches.insert(switches.end(), {"--without-feature", feature});
        }
        const auto completed = run_agent({}, good_config_, switches);
        EXPECT_EQ(completed.status, 1) << completed.describe();
        expect_one_line_naming(completed, lack.named);
        EXPECT_EQ(traces(), before_);
    }
}

TEST_F(BadInputTest, MemoryLimitThatCannotBeRaised_EndsTheAgentWithOneLine) {
    const auto completed = run_agent({"prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set=-sys_resource"},
                                     good_config_, {"--without-feature", "cgroup-memory"});
    EXPECT_EQ(completed.status, 1) << completed.describe();
    expect_one_line_naming(completed, {"RLIMIT_MEMLOCK", "Linux 5.11", "CAP_SYS_RESOURCE"});
    EXPECT_EQ(traces(), before_);
}

TEST_F(BadInputTest, AgentWithoutPrivileges_SaysSo) {
    const auto completed = run_agent({"setpriv", "--bounding-set=-all", "--inh-caps=-all"}, good_config_, {});
    EXPECT_EQ(completed.status, 1) << completed.describe();
    expect_one_line_naming(completed, {"CAP_BPF", "CAP_NET_ADMIN"});
    EXPECT_EQ(traces(), before_);
}

TEST_F(BadInputTest, WrongUsage_HasItsOwnStatus) {
    const std::vector<std::vector<std::string>> usages = {{"--no-such-flag"},
                                                          {"no-such-command"},
                                                          {"--without-feature", "wings"},
                                                          {"--log-level", "loud"},
                                                          {"--log-format", "xml"}};
    for (const auto& arguments : usages) {
        SCOPED_TRACE(arguments.front());
        const auto completed = run_agent({}, good_config_, arguments);
        EXPECT_EQ(completed.status, 2) << completed.describe();
        EXPECT_NE(completed.err, "");
        EXPECT_EQ(traces(), before_);
    }
}

TEST_F(BadInputTest, MissingConfigurationFile_IsNamed) {
    std::filesystem::remove(node_->config_file());
    const auto completed =
        run(node_->ns(), {(program_dir() / "podlane-agent").string(), "--config", node_->config_file().string()});
    EXPECT_EQ(completed.status, 1) << completed.describe();
    expect_one_line_naming(completed, {node_->config_file().string()});
    EXPECT_EQ(traces(), before_);
}

}  // namespace
}  // namespace podlane::net
