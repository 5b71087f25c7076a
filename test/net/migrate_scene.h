// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "test/net/cni_runtime.h"
#include "test/net/harness/temp_dir.h"
#include "test/net/harness/two_nodes.h"

// Node f of a cluster, as flannel left it, in the middle of two nodes of podlane's. Its devices are the kernel's own,
// made as flannel and the real bridge plugin make them; rules by iptables.
//
//   pod a --- node 1 (podlane, 192.168.0.1) ==+ VXLAN +== node f (192.168.0.3) - flannel.1 --- cni0 +--- web
//   10.244.1.x                                |       |                          podlane0           +--- db
//   pod b --- node 2 (podlane, 192.168.0.2) ==+       +                          10.244.3.0/24      +--- odd
//   10.244.2.x
namespace podlane::net {

inline const Ipv4Address node_address = Cluster::node_address(3);
inline const Ipv4Prefix node_cidr = Cluster::pod_cidr(3);
inline const MacAddress flannel_mac = Cluster::flannel_mac(3);

inline constexpr const char* flannel_rules =
    "*nat\n"
    ":FLANNEL-POSTRTG - [0:0]\n"
    "-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n"
    "-A POSTROUTING -s 172.17.0.0/16 -m comment --comment \"docker\" -j MASQUERADE\n"
    "-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "-A FLANNEL-POSTRTG -s 10.244.3.0/24 -d 10.244.0.0/16 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.3.0/24 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.3.0/24 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment \"flanneld masq\" -j MASQUERADE "
    "--random-fully\n"
    "-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment \"flanneld masq\" -j MASQUERADE "
    "--random-fully\n"
    "COMMIT\n"
    "*filter\n"
    ":FLANNEL-FWD - [0:0]\n"
    "-A FORWARD -m conntrack --ctstate INVALID -j DROP\n"
    "-A FORWARD -m comment --comment \"flanneld forward\" -j FLANNEL-FWD\n"
    "-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment \"flanneld forward\" -j ACCEPT\n"
    "-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment \"flanneld forward\" -j ACCEPT\n"
    "COMMIT\n";

// A pod that flannel's plugin attached, by way of the bridge plugin, and of which libcni has a record.
struct OldPod {
    explicit OldPod(const std::string& pod_name) : name(pod_name), ns(pod_name) {}
    std::string name;
    Namespace ns;
    Ipv4Address address{};
    std::string port{};

    [[nodiscard]] Endpoint endpoint() const { return {&ns, address}; }
    [[nodiscard]] std::string id() const { return name + "-0123456789ab"; }
};

class FlannelNodeScene : public testing::Test {
protected:
    void SetUp() override {
        cluster_ = std::make_unique<Cluster>(
            ClusterOptions{.nodes = 2, .flannel = FlannelNeighbours::yes, .extra_config = {}});
        cluster_->state().push_back({"f", node_address, {node_cidr}, flannel_annotations(node_address, flannel_mac)});
        cluster_->publish();
        make_files();
        node_ = std::make_unique<Node>(
            cluster_->underlay(), NodeOptions{.name = "f",
                                              .internal_ip = node_address,
                                              .pod_cidr = node_cidr,
                                              .flannel = true,
                                              .extra_config = cni_lines(root() / "etc/cni/net.d/05-podlane.conflist")});
        node_->write_state(to_node_list(cluster_->state()));
        make_ctl_config();
        make_overlay();
        must_run(node_->ns(), {"iptables-restore"}, {.input = flannel_rules, .environment = {}});
        for (auto* pod : {&web_, &db_, &odd_}) {
            attach(*pod);
        }
        std::filesystem::rename(result_of(odd_), lost_result());
        a_ = &cluster_->node(1).add_pod("a");
        b_ = &cluster_->node(2).add_pod("b");
        for (const auto* pod : {&web_, &db_, &odd_}) {
            expect_ping(a_->ns(), pod->address);
        }
    }

    [[nodiscard]] std::filesystem::path root() const { return files_.path(); }
    [[nodiscard]] std::string cni_lines(const std::filesystem::path& file) const {
        return fmt::format("cni: {{configFile: {}, template: {}}}\n", file.string(), (root() / "template").string());
    }
    static std::string conflist(const Json& plugin) {
        return Json{{"cniVersion", "1.0.0"}, {"name", "cbr0"}, {"plugins", Json::array({plugin})}}.dump();
    }
    [[nodiscard]] Json store() const {
        return {{"type", "host-local"}, {"dataDir", (root() / "var/lib/cni/networks").string()}};
    }
    void make_files() {
        for (const auto* folder : {"run/flannel", "etc/cni/net.d", "var/lib/cni/results", "var/lib/cni/networks"}) {
            std::filesystem::create_directories(root() / folder);
        }
        write_file_atomically(root() / "template", conflist({{"type", "podlane"}, {"ipam", store()}}));
        write_file_atomically(root() / "etc/cni/net.d/10-flannel.conflist",
                              conflist({{"type", "flannel"}, {"delegate", {{"ipam", store()}}}}));
        write_file_atomically(root() / "run/flannel/subnet.env",
                              "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\n"
                              "FLANNEL_IPMASQ=true\n");
    }
    // The agent sees the node's files where they are; agentctl as a container does, below --root.
    void make_ctl_config() {
        const auto text = must_run(node_->ns(), {"sed", "/^cni:/d", node_->config_file().string()});
        write_file_atomically(root() / "ctl.yaml", text + cni_lines("/etc/cni/net.d/05-podlane.conflist"));
    }

    void make_overlay() {
        const auto& ns = node_->ns();
        set_sysctl(ns, "net/ipv4/ip_forward", "1");
        ip(ns,
           fmt::format("link add flannel.1 address {} mtu 1450 type vxlan id 1 local {} dev {} dstport {} nolearning",
                       flannel_mac, node_address, Underlay::node_device, overlay_port));
        ip(ns, fmt::format("address add {}/32 dev flannel.1", node_cidr.address()));
        ip(ns, "link set flannel.1 up");
        for (const unsigned number : {1U, 2U}) {
            const auto cidr = Cluster::pod_cidr(number);
            const auto mac = Cluster::flannel_mac(number);
            ip(ns, fmt::format("neighbour add {} lladdr {} dev flannel.1 nud permanent", cidr.address(), mac));
            must_run(ns, {"bridge", "fdb", "add", mac.to_string(), "dev", "flannel.1", "dst",
                          Cluster::node_address(number).to_string(), "self", "permanent"});
            ip(ns, fmt::format("route add {} via {} dev flannel.1 onlink", cidr, cidr.address()));
        }
    }

    [[nodiscard]] Json ipam() const {
        auto section = store();
        section["ranges"] = Json::array({Json::array({Json{{"subnet", node_cidr.to_string()}}})});
        section["routes"] = Json::array({Json{{"dst", "10.244.0.0/16"}}});
        return section;
    }
    [[nodiscard]] std::filesystem::path result_of(const OldPod& pod) const {
        return root() / "var/lib/cni/results" / fmt::format("cbr0-{}-eth0", pod.id());
    }
    // odd's, as long as nobody puts it back.
    [[nodiscard]] std::filesystem::path lost_result() const { return root() / "odd-result"; }
    // As its runtime ends a pod.
    void detach(const OldPod& pod) {
        ip(node_->ns(), fmt::format("link del {}", pod.port));
        std::filesystem::remove(result_of(pod));
    }
    void attach(OldPod& pod) {
        const Json config = {{"cniVersion", "0.3.1"}, {"name", "cbr0"},    {"type", "bridge"},
                             {"bridge", "cni0"},      {"isGateway", true}, {"isDefaultGateway", true},
                             {"hairpinMode", true},   {"mtu", 1450},       {"ipMasq", false},
                             {"ipam", ipam()}};
        RunOptions options;
        options.input = config.dump();
        options.environment = {"CNI_COMMAND=ADD", fmt::format("CNI_CONTAINERID={}", pod.id()),
                               fmt::format("CNI_NETNS={}", pod.ns.path().string()), "CNI_IFNAME=eth0",
                               "CNI_PATH=/usr/lib/cni"};
        const auto result = Json::parse(must_run(node_->ns(), {"/usr/lib/cni/bridge"}, options));
        const auto text = result.at("ips").at(0).at("address").get<std::string>();
        pod.address = Ipv4Address::parse(text.substr(0, text.find('/'))).value();
        pod.port = result.at("interfaces").at(1).at("name");
        const Json record = {
            {"kind", "cniCacheV1"},
            {"containerId", pod.id()},
            {"config", ""},
            {"ifName", "eth0"},
            {"networkName", "cbr0"},
            {"cniArgs", Json::array({Json::array({"IgnoreUnknown", "1"}), Json::array({"K8S_POD_NAMESPACE", "shop"}),
                                     Json::array({"K8S_POD_NAME", pod.name})})},
            {"result", result}};
        write_file_atomically(result_of(pod), record.dump());
    }

    [[nodiscard]] Completed migrate(const std::string& step, const std::vector<std::string>& further = {}) {
        std::vector<std::string> arguments = {"migrate", step,           "--config", (root() / "ctl.yaml").string(),
                                              "--root",  root().string()};
        if (std::ranges::find(further, "--timeout") == further.end()) {
            // An agent that waits for the processor long is no agent that is away.
            arguments.insert(arguments.end(), {"--timeout", "30s"});
        }
        arguments.insert(arguments.end(), further.begin(), further.end());
        return node_->agentctl(arguments);
    }
    void start_agent() {
        node_->start_agent();
        ASSERT_TRUE(wait_until([this] { return migrate("plan").status == 0; }, 60s)) << migrate("plan").describe();
    }
    void expect_ok(const Completed& done, const std::string& said) {
        EXPECT_EQ(done.status, 0) << done.describe();
        EXPECT_THAT(done.out, testing::HasSubstr(said));
        EXPECT_EQ(done.err, "");
    }
    void apply_and_commit() {
        expect_ok(migrate("apply"), "applied");
        expect_ok(migrate("verify"), "");
        expect_ok(migrate("commit"), "committed");
    }

    // What a node's tools show, without what is a number of the day.
    [[nodiscard]] std::map<std::string, std::string> snapshot() {
        std::map<std::string, std::string> kinds;
        for (const std::string command :
             {"ip -o -d link show", "ip -o -4 address show", "ip -4 route show table all",
              "ip neigh show nud permanent", "bridge fdb show dev flannel.1", "bridge link show", "iptables-save",
              "iptables-legacy-save", "ip rule show",
              ("sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.ipv4.conf.flannel/1.rp_filter "
               "net.ipv4.conf.eth0.rp_filter net.ipv4.conf.cni0.proxy_arp")}) {
            std::istringstream words(command);
            std::istringstream out(must_run(node_->ns(), {std::istream_iterator<std::string>(words), {}}));
            std::vector<std::string> lines;
            for (std::string line; std::getline(out, line);) {
                line = std::regex_replace(line,
                                          std::regex("^[0-9]+: |[a-z_]+_timer +[0-9.]+|\\[[0-9]+:[0-9]+\\]|^#.*$"), "");
                lines.push_back(line);
            }
            std::ranges::sort(lines);
            kinds[command] = fmt::format("{}", fmt::join(lines, "\n"));
        }
        return kinds;
    }
    void expect_as(const std::map<std::string, std::string>& before) {
        const auto now = snapshot();
        for (const auto& [kind, text] : before) {
            EXPECT_EQ(now.at(kind), text) << kind;
        }
    }
    // The datagram flows of its pods that the stack has, as `agentctl map dump` shows them.
    [[nodiscard]] std::vector<std::string> datagram_flows_of_the_stack() const {
        std::istringstream dumped(node_->agentctl({"map", "dump", "flow_owners", "--no-headers"}).out);
        std::vector<std::string> found;
        for (std::string line; std::getline(dumped, line);) {
            if (line.contains("udp") && line.contains("stack")) {
                found.push_back(line);
            }
        }
        return found;
    }
    [[nodiscard]] bool has_device(const std::string& name) const {
        return run(node_->ns(), {"ip", "link", "show", "dev", name}).ok();
    }
    [[nodiscard]] std::string saved_rules() const { return must_run(node_->ns(), {"iptables-save"}); }
    [[nodiscard]] Json read_record() const {
        std::ifstream file(record());
        return Json::parse(file);
    }
    [[nodiscard]] std::filesystem::path record() const { return root() / "var/lib/podlane/migration.json"; }

    TempDir files_{"migrate"};
    std::unique_ptr<Cluster> cluster_;
    std::unique_ptr<Node> node_;
    OldPod web_{"f-web"};
    OldPod db_{"f-db"};
    OldPod odd_{"f-odd"};
    Pod* a_ = nullptr;
    Pod* b_ = nullptr;
};

}  // namespace podlane::net
