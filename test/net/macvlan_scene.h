// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/ctl/agent_client.h"
#include "test/net/cni_runtime.h"
#include "test/net/harness/lan.h"
#include "test/net/harness/service.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {

// A macvlan pod as the CNI plugin makes it, with the reference plugin's means: `ip link`, and the record that the agent
// keeps.
class MacvlanPod {
public:
    MacvlanPod(Node& node, const Lan& lan, const std::string& name, unsigned last_byte)
        : node_(node), id_(fmt::format("{}-{}", node.name(), name)), ns_(id_), address_(lan.address(last_byte)) {
        const auto host = lan.host_address(node.name() == "n1" ? 1 : 2);
        ip(node.ns(), fmt::format("link add mv{} link {} type macvlan mode bridge", last_byte, lan.device()));
        ip(node.ns(), fmt::format("link set mv{} netns {} name eth0", last_byte, ns_.name()));
        set_sysctl(ns_, "net/ipv6/conf/eth0/disable_ipv6", "1");
        ip(ns_, fmt::format("address add {}/24 dev eth0", address_));
        ip(ns_, "link set eth0 up");
        ip(ns_, fmt::format("route add default via {}", lan.gateway()));
        ip(ns_, fmt::format("route add 10.244.0.0/16 via {}", host));
        ip(ns_, fmt::format("route add 10.32.0.0/24 via {}", host));
        record_ = {{"containerID", id_},
                   {"ifName", "eth0"},
                   {"netns", ns_.path().string()},
                   {"namespace", "default"},
                   {"name", name},
                   {"link", "macvlan"},
                   {"master", lan.device()},
                   {"mode", "bridge"},
                   {"ip", address_.to_string()},
                   {"gateway", lan.gateway().to_string()},
                   {"mac", mac_of({ns_, "eth0"}).to_string()},
                   {"mtu", 1500}};
    }

    // As ADD does; the agent's answer.
    [[nodiscard]] AgentReply put() const { return call("PUT", record_.dump()); }
    [[nodiscard]] AgentReply remove() const { return call("DELETE", {}); }

    [[nodiscard]] const Namespace& ns() const { return ns_; }
    [[nodiscard]] Ipv4Address address() const { return address_; }
    [[nodiscard]] Endpoint endpoint() const { return {&ns_, address_, {}}; }
    [[nodiscard]] nlohmann::json& record() { return record_; }

private:
    [[nodiscard]] AgentReply call(std::string_view method, const std::string& body) const {
        const auto path = fmt::format("/v1/endpoints/{}-eth0", id_);
        const AgentClient client(node_.run_dir(), std::chrono::seconds(20));
        const auto reply = client.call({.method = method, .path = path, .body = body});
        return reply ? *reply : AgentReply{.status = 0, .body = reply.error().message};
    }

    Node& node_;
    std::string id_;
    Namespace ns_;
    Ipv4Address address_;
    nlohmann::json record_;
};

struct Layout {
    std::string name;
    std::string mode;  // overlay.mode
    enum class Wire : std::uint8_t { own, underlay } wire = Wire::own;
    std::string config;           // further lines of the agents' configuration
    LanPort port = LanPort::nic;  // Wire::own: what the hosts are on the LAN by
};

inline constexpr const char* shim = "podlane-lan";

// Two nodes with a veth pod each, on a LAN with macvlan pods. All the time the LAN is asked for node 1's address, and
// must see one MAC:
//
//   veth a (10.244.1.x) --- node 1 --- em2 .100 ---+ LAN +--- em2 .101 --- node 2 --- veth b (10.244.2.x)
//                             | eth0               |     |                   | eth0
//   mac m1 .51, m2 .52 -------|-------- em2 -------+     +------- em2 -------|------- mac m3 .61
//                             +------------ wire: VXLAN or direct -----------+
class MacvlanScene : public testing::TestWithParam<Layout> {
protected:
    void SetUp() override {
        const auto& layout = GetParam();
        if (const auto why = why_no(layout.port); !why.empty()) {
            GTEST_SKIP() << why;
        }
        cluster_ = std::make_unique<Cluster>(ClusterOptions{.extra_config = layout.config, .mode = layout.mode});
        lan_ = layout.wire == Layout::Wire::own ? std::make_unique<Lan>(layout.port)
                                                : std::make_unique<Lan>(cluster_->underlay());
        for (const unsigned number : {1U, 2U}) {
            lan().join(node(number).ns(), node(number).name(), number);
        }
        census_ = std::make_unique<MacCensus>(lan(), node(1).name(), lan().host_address(1));
        questions_ = std::make_unique<ArpQuestions>(lan(), lan().host_address(1));
        a_ = &node(1).add_pod("a");
        b_ = &node(2).add_pod("b");
        backend(node(1).ns(), lan().host_address(1), "host-1");
        backend(node(2).ns(), lan().host_address(2), "host-2");
        backend(lan().neighbour(), lan().neighbour_address(), "neighbour");
        backend(lan().internet(), Lan::internet_address, "internet");
        backend(a_->ns(), a_->address(), "a");
        backend(b_->ns(), b_->address(), "b");
    }
    // One MAC for the host, from the first frame on.
    void TearDown() override {
        questions_.reset();
        if (census_) {
            EXPECT_GT(census_->frames(), 100U) << "nobody answered";
            EXPECT_LE(census_->macs().size(), 1U) << testing::PrintToString(census_->macs());
            EXPECT_EQ(census_->lost(), 0U);
        }
    }

    // `macvlan:` comes into both agents' configuration, while they run.
    void configure(const std::string& host_address = "keep") {
        for (const unsigned number : {1U, 2U}) {
            set_host_address(number, host_address);
        }
        for (const unsigned number : {1U, 2U}) {
            wait_for_shim(number);
        }
    }
    void set_host_address(unsigned number, const std::string& host_address) {
        set_macvlan(number, fmt::format("macvlan: [{{name: lan, master: {}, shim: {}, hostAddress: {}, "
                                        "serviceCIDRs: [10.32.0.0/24]}}]\n",
                                        lan().device(), shim, host_address));
    }
    void set_macvlan(unsigned number, const std::string& lines) {
        auto text = read(node(number).config_file());
        text.resize(std::min(text.find("macvlan:"), text.size()));
        write_file_atomically(node(number).config_file(), text + lines);
    }
    void wait_for_shim(unsigned number, const std::string& name = shim) {
        EXPECT_TRUE(wait_until([&] { return faults(number).empty() && has_link(number, name); }, 20s))
            << faults(number) << node(number).agentctl({"status"}).out;
    }
    void add_macvlan_pods() {
        m1_ = &add_macvlan_pod(1, "m1", 51);
        m2_ = &add_macvlan_pod(1, "m2", 52);
        m3_ = &add_macvlan_pod(2, "m3", 61);
        for (const auto& [pod, name] : {std::pair{m1_, "m1"}, {m2_, "m2"}, {m3_, "m3"}}) {
            backend(pod->ns(), pod->address(), name);
        }
    }
    MacvlanPod& add_macvlan_pod(unsigned number, const std::string& name, unsigned last_byte) {
        macvlan_pods_.push_back(std::make_unique<MacvlanPod>(node(number), lan(), name, last_byte));
        const auto reply = macvlan_pods_.back()->put();
        EXPECT_EQ(reply.status, 200) << reply.body;
        return *macvlan_pods_.back();
    }
    void backend(const Namespace& ns, Ipv4Address at, const std::string& name) {
        for (const auto transport : {Transport::tcp, Transport::udp}) {
            backends_.push_back(std::make_unique<Backend>(ns, SocketAddress{at, port}, transport, name));
        }
    }

    // TCP and UDP are answered by `name`, which sees `seen`, and so is ping.
    void expect_reach(const Namespace& from, Ipv4Address to, const std::string& name, Ipv4Address seen) {
        for (const auto transport : {Transport::tcp, Transport::udp}) {
            const auto served = ask_service(from, {to, port}, 3, transport);
            EXPECT_EQ(served.problem, "") << "to " << name << " at " << to.to_string();
            EXPECT_EQ(served.by, (std::map<std::string, unsigned>{{fmt::format("{} {}", name, seen), 3U}}));
        }
        expect_ping(from, to, 1);
    }
    // Everything that a macvlan pod reaches and that reaches it.
    void expect_all_cells() {
        expect_cells_of_lan();
        expect_cells_of_overlay();
    }
    void expect_cells_of_lan() {
        SCOPED_TRACE("LAN");
        expect_reach(m1().ns(), lan().host_address(1), "host-1", m1().address());
        expect_reach(node(1).ns(), m1().address(), "m1", lan().host_address(1));
        expect_reach(m1().ns(), lan().host_address(2), "host-2", m1().address());
        expect_reach(node(2).ns(), m1().address(), "m1", lan().host_address(2));
        expect_reach(m1().ns(), m2().address(), "m2", m1().address());
        expect_reach(m1().ns(), m3().address(), "m3", m1().address());
        expect_reach(m1().ns(), lan().neighbour_address(), "neighbour", m1().address());
        expect_reach(lan().neighbour(), m1().address(), "m1", lan().neighbour_address());
        expect_reach(lan().neighbour(), lan().host_address(1), "host-1", lan().neighbour_address());
        expect_reach(m1().ns(), Lan::internet_address, "internet", m1().address());
    }
    void expect_cells_of_overlay() {
        SCOPED_TRACE("overlay");
        expect_reach(m1().ns(), a().address(), "a", m1().address());
        expect_reach(a().ns(), m1().address(), "m1", a().address());
        expect_reach(m1().ns(), b().address(), "b", node(1).address());
        expect_reach(m3().ns(), a().address(), "a", node(2).address());
        // The LAN is outside the cluster for a pod: translated where it leaves its node, by a device that has our
        // hooks.
        if (GetParam().wire == Layout::Wire::underlay) {
            expect_reach(b().ns(), m1().address(), "m1", lan().host_address(2));
        }
    }

    // As the users of the LAN of its own configure it, with addresses from .71 on: host-local remembers the last one.
    [[nodiscard]] CniRuntime lan_plugin() {
        std::filesystem::remove_all("/var/lib/cni/networks/mynet");
        CniRuntime plugin(node(1), "1.0.0");
        plugin.config.update(Json::parse(R"({"name": "mynet", "link": "macvlan", "mode": "bridge",
            "ipam": {"type": "host-local",
                     "ranges": [[{"subnet": "172.20.7.0/24", "rangeStart": "172.20.7.71", "rangeEnd": "172.20.7.79",
                                  "gateway": "172.20.7.254"}]],
                     "routes": [{"dst": "0.0.0.0/0"}]}})"));
        plugin.config["master"] = lan().device();
        return plugin;
    }

    // Devices, routes and hooks that are not as wanted.
    [[nodiscard]] std::string faults(unsigned number = 1) {
        const auto listed = node(number).agentctl({"link", "list", "-o", "json"});
        const auto items = nlohmann::json::parse(listed.out, nullptr, false);
        if (!listed.ok() || !items.is_array()) {
            return listed.describe();
        }
        std::string lines;
        for (const auto& item : items) {
            lines += item.at("state") == "ok" ? "" : item.dump() + "\n";
        }
        return lines;
    }
    [[nodiscard]] bool has_link(unsigned number, const std::string& name) {
        return run(node(number).ns(), {"ip", "link", "show", "dev", name, "up"}).out.contains(name);
    }
    [[nodiscard]] static std::string read(const std::filesystem::path& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    [[nodiscard]] Node& node(unsigned number) { return cluster_->node(number); }
    [[nodiscard]] Lan& lan() { return *lan_; }
    [[nodiscard]] Pod& a() { return *a_; }
    [[nodiscard]] Pod& b() { return *b_; }
    [[nodiscard]] MacvlanPod& m1() { return *m1_; }
    [[nodiscard]] MacvlanPod& m2() { return *m2_; }
    [[nodiscard]] MacvlanPod& m3() { return *m3_; }
    [[nodiscard]] MacCensus& census() { return *census_; }
    // Of a test that changes the MAC itself.
    void forget_census() { census_.reset(); }

    static constexpr std::uint16_t port = 8080;  // that of kube-proxy's backends as well
    std::unique_ptr<Cluster> cluster_;
    std::vector<std::unique_ptr<MacvlanPod>> macvlan_pods_;

private:
    std::unique_ptr<Lan> lan_;
    std::unique_ptr<MacCensus> census_;
    std::unique_ptr<ArpQuestions> questions_;
    std::vector<std::unique_ptr<Backend>> backends_;
    Pod* a_ = nullptr;
    Pod* b_ = nullptr;
    MacvlanPod* m1_ = nullptr;
    MacvlanPod* m2_ = nullptr;
    MacvlanPod* m3_ = nullptr;
};

inline const std::vector<Layout> every_layout = {{"VxlanOwnNic", "vxlan", Layout::Wire::own, ""},
                                                 {"DirectOwnNic", "auto", Layout::Wire::own, ""},
                                                 {"VxlanSameNic", "vxlan", Layout::Wire::underlay, ""},
                                                 {"DirectSameNic", "auto", Layout::Wire::underlay, ""}};
[[nodiscard]] inline std::string name_of_layout(const testing::TestParamInfo<Layout>& info) {
    return info.param.name;
}

}  // namespace podlane::net
