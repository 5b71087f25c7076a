// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "test/net/harness/cluster.h"
#include "test/net/harness/sandbox.h"
#include "test/net/harness/wait.h"

namespace podlane::net {

using Json = nlohmann::json;

// A container as a runtime has it: an ID and a namespace. Nothing is attached by itself.
struct Container {
    explicit Container(std::string container_id) : id(std::move(container_id)), ns(id) {}
    std::string id;
    Namespace ns;
    std::string if_name = "eth0";
};

// How a runtime executes plugins on `node`: one call, one configuration, no memory of its own.
class CniRuntime {
public:
    CniRuntime(Node& node, std::string_view version) : config(Json::parse(node.cni_config())), node_(node) {
        config["cniVersion"] = version;
    }

    // `extra` is merged into the configuration: prevResult, cni.dev/valid-attachments, ...
    [[nodiscard]] Completed call(std::string_view command, const Container& container,
                                 const Json& extra = Json::object()) const {
        RunOptions options;
        Json merged = config;
        merged.update(extra);
        options.input = merged.dump();
        options.environment = {fmt::format("CNI_COMMAND={}", command),
                               fmt::format("CNI_CONTAINERID={}", container.id),
                               fmt::format("CNI_NETNS={}", netns.value_or(container.ns.path().string())),
                               fmt::format("CNI_IFNAME={}", container.if_name),
                               fmt::format("CNI_PATH={}", path),
                               fmt::format("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={};"
                                           "K8S_POD_UID=uid-{}",
                                           container.id, container.id)};
        return run(node_.ns(), {plugin}, options);
    }
    // ADD that has to work.
    [[nodiscard]] Json add(const Container& container, const Json& extra = Json::object()) const {
        const auto added = call("ADD", container, extra);
        EXPECT_TRUE(added.ok()) << added.describe();
        return added.ok() ? Json::parse(added.out) : Json();
    }

    Json config;
    std::optional<std::string> netns;  // in place of the container's
    std::string plugin = (program_dir() / "podlane").string();
    std::string path = "/usr/lib/cni";

private:
    Node& node_;
};

// The error object of a plugin run that has to fail with `code`; null when it does not.
[[nodiscard]] inline Json expect_error(const Completed& completed, int code) {
    EXPECT_EQ(completed.status, 1) << completed.describe();
    auto error = Json::parse(completed.out, nullptr, false);
    EXPECT_TRUE(error.is_object()) << completed.describe();
    if (!error.is_object()) {
        return {};
    }
    EXPECT_EQ(error.value("code", -1), code) << completed.describe();
    return error;
}

// One node in sync, its agent running:
//
//   container c1 eth0 --- pl............. node 1 (podCIDR 10.244.1.0/24, podlane-agent)
class CniNode : public testing::Test {
protected:
    void SetUp() override { start({.nodes = node_count(), .extra_config = {}}); }
    void start(const ClusterOptions& options) { cluster_ = std::make_unique<Cluster>(options); }
    [[nodiscard]] virtual unsigned node_count() const { return 1; }

    [[nodiscard]] Node& node(unsigned number = 1) { return cluster_->node(number); }
    [[nodiscard]] CniRuntime runtime(std::string_view version = "1.1.0") { return {node(), version}; }

    // `ip -j ARGUMENTS` of a namespace.
    [[nodiscard]] static Json ip_json(const Namespace& ns, std::string_view arguments) {
        return Json::parse(ip(ns, fmt::format("-d -j {}", arguments)));
    }
    [[nodiscard]] static std::vector<std::string> names_of_veths(const Namespace& ns) {
        std::vector<std::string> names;
        for (const auto& link : ip_json(ns, "link show type veth")) {
            if (link.contains("ifname") && link["ifname"].get<std::string>().starts_with("pl")) {
                names.push_back(link["ifname"]);
            }
        }
        return names;
    }
    [[nodiscard]] static bool has_link(const Namespace& ns, const std::string& name) {
        return run(ns, {"ip", "link", "show", "dev", name}).ok();
    }
    // Addresses that host-local holds for the network.
    [[nodiscard]] std::vector<std::string> reservations(unsigned number = 1) {
        std::vector<std::string> names;
        const auto store = node(number).run_dir() / "ipam" / "podlane";
        if (std::filesystem::exists(store)) {
            for (const auto& entry : std::filesystem::directory_iterator(store)) {
                if (Ipv4Address::parse(entry.path().filename().string())) {
                    names.push_back(entry.path().filename().string());
                }
            }
        }
        return names;
    }
    [[nodiscard]] std::filesystem::path record(const Container& container) {
        return node().run_dir() / "endpoints" / fmt::format("{}-{}.json", container.id, container.if_name);
    }
    // Nothing of any attachment is left on the node.
    void expect_nothing_left() {
        EXPECT_EQ(names_of_veths(node().ns()), std::vector<std::string>());
        EXPECT_EQ(reservations(), std::vector<std::string>());
        EXPECT_EQ(node().agentctl_json({"pod", "list"}), Json::array());
    }

private:
    std::unique_ptr<Cluster> cluster_;
};

}  // namespace podlane::net
