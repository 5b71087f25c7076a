// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "test/net/cni_runtime.h"

namespace podlane::net {

// A node with a second leg in a LAN where others live, as the story of the macvlan plugin has it:
//
//   container c1 eth0 - - em2 172.20.7.100/24 :node 1 (podlane-agent)
//        (macvlan)         |
//               [ bridge lan ] --- eth0 172.20.7.200/24 :neighbour
class MacvlanLan : public CniNode {
protected:
    void SetUp() override {
        CniNode::SetUp();
        std::filesystem::remove_all(store());
        lan_ = std::make_unique<Namespace>("lan");
        neighbour_ = std::make_unique<Namespace>("neighbour");
        ip(*lan_, "link add lan type bridge");
        ip(*lan_, "link set lan up");
        join({node().ns(), "em2"}, "host");
        ip(node().ns(), "address add 172.20.7.100/24 dev em2");
        join({*neighbour_, "eth0"}, "neighbour");
        ip(*neighbour_, "address add 172.20.7.200/24 dev eth0");
    }
    // A new device on the LAN.
    void join(const DeviceRef& device, const std::string& port) {
        connect_by_veth(device, {*lan_, port}, 1500);
        ip(*lan_, fmt::format("link set {} master lan", port));
    }
    [[nodiscard]] const Namespace& lan() const { return *lan_; }
    [[nodiscard]] const Namespace& neighbour() const { return *neighbour_; }

    // The story's configuration, word for word.
    [[nodiscard]] static Json users_config() {
        return Json::parse(R"({"name":"mynet","type":"macvlan","master":"em2","mode":"bridge",
 "ipam":{"type":"host-local",
  "ranges":[[{"subnet":"172.20.7.0/24","rangeStart":"172.20.7.51","rangeEnd":"172.20.7.98","gateway":"172.20.7.254"}]],
  "routes":[{"dst":"0.0.0.0/0"}]}})");
    }
    // What its user changes, and what a runtime adds.
    [[nodiscard]] CniRuntime macvlan_runtime(std::string_view version = "1.1.0") {
        auto plugin = runtime(version);
        const auto run_dir = plugin.config["runDir"];
        plugin.config = users_config();
        plugin.config.update({{"type", "podlane"}, {"link", "macvlan"}, {"cniVersion", version}, {"runDir", run_dir}});
        return plugin;
    }
    // The same with one address in place of the range.
    [[nodiscard]] CniRuntime static_runtime(const char* address) {
        auto plugin = macvlan_runtime();
        plugin.config["ipam"] = {{"type", "static"}, {"addresses", {{{"address", address}}}}};
        return plugin;
    }
    [[nodiscard]] CniRuntime reference_runtime() {
        auto plugin = runtime("1.0.0");  // the newest that Debian's plugins speak
        plugin.plugin = "/usr/lib/cni/macvlan";
        plugin.config = users_config();
        plugin.config["cniVersion"] = "1.0.0";
        return plugin;
    }

    // host-local's, which has it under the network's name.
    [[nodiscard]] static std::filesystem::path store() { return "/var/lib/cni/networks/mynet"; }
    [[nodiscard]] static std::set<std::string> reserved() {
        std::set<std::string> addresses;
        if (std::filesystem::exists(store())) {
            for (const auto& entry : std::filesystem::directory_iterator(store())) {
                if (Ipv4Address::parse(entry.path().filename().string())) {
                    addresses.insert(entry.path().filename().string());
                }
            }
        }
        return addresses;
    }
    // Macvlan devices; the host's shim is not one of a pod.
    [[nodiscard]] static std::vector<std::string> macvlans(const Namespace& ns) {
        std::vector<std::string> names;
        for (const auto& link : ip_json(ns, "link show type macvlan")) {
            if (link.contains("ifname") && link["ifname"] != "podlane-lan") {
                names.push_back(link["ifname"]);
            }
        }
        return names;
    }
    void expect_no_trace_of(const Container& container) {
        EXPECT_FALSE(has_link(container.ns, "eth0"));
        EXPECT_EQ(macvlans(container.ns), std::vector<std::string>());
        EXPECT_EQ(macvlans(node().ns()), std::vector<std::string>());
        EXPECT_EQ(reserved(), std::set<std::string>());
        EXPECT_EQ(node().agentctl_json({"pod", "list"}), Json::array());
    }
    // {destination, gateway} of all routes but the kernel's own.
    [[nodiscard]] static std::set<std::pair<std::string, std::string>> routes_of(const Namespace& ns) {
        std::set<std::pair<std::string, std::string>> routes;
        for (const auto& route : ip_json(ns, "route show")) {
            if (route.value("protocol", "") != "kernel") {
                routes.emplace(route["dst"], route.value("gateway", "-"));
            }
        }
        return routes;
    }

private:
    std::unique_ptr<Namespace> lan_;
    std::unique_ptr<Namespace> neighbour_;
};

}  // namespace podlane::net
