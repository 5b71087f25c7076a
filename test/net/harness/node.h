// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "maps/base/address.h"
#include "test/net/harness/process.h"
#include "test/net/harness/state_file.h"
#include "test/net/harness/temp_dir.h"
#include "test/net/harness/traffic.h"
#include "test/net/harness/underlay.h"

namespace podlane::net {

class Node;

// A pod that the CNI plugin attached. Its end takes it off again: a DEL that fails then fails the test.
class Pod {
public:
    // ADD; raises with the plugin's output when it fails. `node` outlives the pod.
    // `mtu`: what the network's configuration says, bytes of IP; 0: nothing.
    Pod(Node& node, std::string name, unsigned mtu = 0);
    Pod(const Pod&) = delete;
    Pod& operator=(const Pod&) = delete;
    ~Pod();

    [[nodiscard]] const Namespace& ns() const { return ns_; }
    [[nodiscard]] Ipv4Address address() const { return address_; }
    [[nodiscard]] Endpoint endpoint() const { return {&ns_, address_}; }
    [[nodiscard]] DeviceRef device() const { return {ns_, "eth0"}; }
    [[nodiscard]] const std::string& container_id() const { return container_id_; }
    [[nodiscard]] const nlohmann::json& add_result() const { return add_result_; }
    // Name of the host side, as ADD reported it.
    [[nodiscard]] std::string host_device() const;
    // Runs the plugin for this pod with the network's configuration.
    [[nodiscard]] Completed cni(std::string_view command);

private:
    Node& node_;
    std::string name_;
    unsigned mtu_;
    std::string container_id_;
    Namespace ns_;
    nlohmann::json add_result_;
    Ipv4Address address_;
};

struct NodeOptions {
    std::string name;
    Ipv4Address internal_ip;
    Ipv4Prefix pod_cidr;
    bool flannel = false;
    // Further lines for the agent's configuration file, YAML at the top level.
    std::string extra_config;
    // What the agent is to take for missing: --without-feature.
    std::vector<std::string> without = {};
    std::string mode = "vxlan";  // overlay.mode
    std::string xdp = "auto";    // underlay.xdp
    std::string state = {};      // members of `state` in place of the node's state file
    // What the agent is started by: a program and its first arguments. Empty: what
    // $PODLANE_TEST_AGENT has (words with blanks between them), or else the one under test, as it is.
    std::vector<std::string> agent = {};
};

// One podlane node: a namespace on the underlay with an agent, state file, runDir and bpffs of its own.
class Node {
public:
    Node(Underlay& underlay, NodeOptions options);
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    // Takes the pods off, ends the agent with SIGTERM: one that does not end fails the test.
    ~Node();

    [[nodiscard]] const std::string& name() const { return options_.name; }
    [[nodiscard]] const Namespace& ns() const { return ns_; }
    [[nodiscard]] Ipv4Address address() const { return options_.internal_ip; }
    [[nodiscard]] Ipv4Prefix pod_cidr() const { return options_.pod_cidr; }
    [[nodiscard]] Endpoint endpoint() const { return {&ns_, address()}; }
    [[nodiscard]] DeviceRef device() const { return {ns_, Underlay::node_device}; }
    [[nodiscard]] std::filesystem::path run_dir() const { return files_.path() / "run"; }
    [[nodiscard]] std::filesystem::path bpffs() const { return files_.path() / "bpf" / "podlane"; }
    [[nodiscard]] std::filesystem::path state_file() const { return files_.path() / "state" / "cluster.json"; }
    [[nodiscard]] std::filesystem::path config_file() const { return files_.path() / "config.yaml"; }

    // The state file's new content, by an atomic rename.
    void write_state(std::string_view content);

    void start_agent();
    // What agents started from now on take for missing, besides what $PODLANE_TEST_WITHOUT has (names with blanks
    // between them), by which every test can be run on the fallbacks.
    void set_without(std::vector<std::string> features) { options_.without = std::move(features); }
    // Another underlay.xdp in the configuration file; a running agent takes it over.
    void set_xdp(const std::string& mode);
    // Other further lines in it; the same.
    void set_extra_config(const std::string& lines);
    // --config, and the switches.
    [[nodiscard]] std::vector<std::string> agent_arguments() const;
    // Waits until `agentctl status` exits with `status`; raises when it does not in time.
    void wait_for_status(int status, std::chrono::milliseconds timeout = std::chrono::seconds(15));
    void wait_ready() { wait_for_status(0); }
    // SIGKILL, and waits for the end.
    void kill_agent();
    // SIGTERM, and waits for the end; returns the exit status.
    int stop_agent();
    [[nodiscard]] Process& agent();

    [[nodiscard]] Completed agentctl(const std::vector<std::string>& arguments);
    // Raises when the tool fails or prints no JSON.
    [[nodiscard]] nlohmann::json agentctl_json(std::vector<std::string> arguments);
    // Packets so far that drop_counters holds for `reason` ("wrong-vni"), over all directions.
    [[nodiscard]] std::uint64_t drops(std::string_view reason);
    // The same of one direction: "from-underlay".
    [[nodiscard]] std::uint64_t drops(std::string_view reason, std::string_view direction);

    Pod& add_pod(const std::string& pod_name, unsigned mtu = 0);
    void remove_pod(const Pod& pod);
    // What the container runtime would give the plugin on stdin.
    [[nodiscard]] std::string cni_config(unsigned mtu = 0) const;

private:
    [[nodiscard]] std::string agent_config() const;

    NodeOptions options_;
    TempDir files_;
    Namespace ns_;
    std::unique_ptr<Process> agent_;
    std::vector<std::unique_ptr<Pod>> pods_;
};

}  // namespace podlane::net
