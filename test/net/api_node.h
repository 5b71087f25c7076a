// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "test/net/harness/cluster.h"
#include "test/net/harness/node.h"
#include "test/net/kube_api_scene.h"

namespace podlane::net {

// A node, and the API server that its agent asks.
class ApiNode {
public:
    ApiNode(Underlay& underlay, const std::string& name, const std::string& address, const std::string& pod_cidr,
            FlannelNeighbours flannel = FlannelNeighbours::no)
        : files_(name),
          node_(underlay, {.name = name,
                           .internal_ip = Ipv4Address::parse(address).value(),
                           .pod_cidr = Ipv4Prefix::parse(pod_cidr).value(),
                           .flannel = flannel == FlannelNeighbours::yes,
                           .extra_config = "",
                           .state = fmt::format("source: kubernetes, kubeconfig: {0}/kubeconfig, cacheFile: {0}/cache",
                                                files_.path().string())}) {}

    [[nodiscard]] Node& node() { return node_; }
    [[nodiscard]] ApiScript& script() { return script_; }
    [[nodiscard]] std::vector<std::string> requests() const { return server_->requests(); }
    // What the Node was patched with so far.
    [[nodiscard]] std::vector<std::string> patches() {
        const std::scoped_lock lock(mutex_);
        return patches_;
    }
    void serve() {
        server_ = in_namespace(node_.ns(), [this] {
            return std::make_unique<test::ReplayServer>(test::ReplayServer::Options{.identity = &identity_},
                                                        [this](const std::string& request) { return answer(request); });
        });
        const auto write = [this](const std::string& name, const std::string& text) {
            std::ofstream(files_.path() / name, std::ios::binary) << text;
        };
        write("ca.pem", authority_.pem());
        write("kubeconfig",
              fmt::format("current-context: x\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
                          "clusters: [{{name: c, cluster: {{server: '{}', certificate-authority: ca.pem}}}}]\n"
                          "users: [{{name: u, user: {{token: secret}}}}]\n",
                          server_->url()));
    }
    void stop_serving() { server_.reset(); }
    void write_kubeconfig(const std::string& text) {
        std::ofstream(files_.path() / "kubeconfig", std::ios::binary) << text;
    }

private:
    Answer answer(const std::string& request) {
        const std::scoped_lock lock(mutex_);
        if (request.starts_with("PATCH ")) {
            patches_.push_back(request.substr(request.find("\r\n\r\n") + 4));
        }
        return script_.answer(request);
    }

    TempDir files_;
    std::mutex mutex_;
    std::vector<std::string> patches_;
    test::TlsAuthority authority_;
    test::Identity identity_ = authority_.issue("kube-apiserver", "IP:127.0.0.1");
    ApiScript script_;
    std::unique_ptr<test::ReplayServer> server_;
    Node node_;
};

}  // namespace podlane::net
