// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/migrate/agent_view.h"
#include "agent/migrate/bridge.h"
#include "agent/migrate/cni_results.h"
#include "agent/migrate/flannel_files.h"
#include "agent/migrate/flannel_network.h"
#include "agent/migrate/record.h"
#include "agent/netfilter/flannel_rules.h"
#include "maps/base/address.h"

// What plan and verify judge: collected by reading only.
namespace podlane::migrate {

// Where this node's things are, as agentctl sees them.
struct Place {
    std::filesystem::path root = "/";  // the node's root file system
    std::filesystem::path record;
    std::filesystem::path run_dir;
    std::filesystem::path bpffs;
    std::string flannel_device;  // empty: the VXLAN device with the configured VNI and port
    std::string bridge = "cni0";
    std::chrono::milliseconds timeout{5000};  // of one call of the agent

    // Of an absolute path on the node.
    [[nodiscard]] std::filesystem::path on_node(const std::filesystem::path& path) const {
        return root / path.relative_path();
    }
};

// A network configuration of the container runtime's directory.
struct CniFile {
    std::filesystem::path path;  // on the node
    std::string network;
    std::vector<std::string> plugins;  // their types, in order
    std::string store;                 // host-local's directory, of podlane's or flannel's plugin

    [[nodiscard]] bool uses(std::string_view plugin) const;
};

// An entry of nodes_by_pod_cidr.
struct MapNode {
    Ipv4Address vtep;
    MacAddress mac;
    unsigned path = 0;  // enum node_path
};

struct Facts {
    Config config;
    std::string record_file;
    std::string bridge_name;
    std::optional<AgentView> agent;
    std::string agent_problem;  // why there is no agent
    std::optional<FlannelNetwork> flannel;
    bool flannel_is_up = false;  // its device; the agent borrows none that is down
    std::optional<Bridge> bridge;
    std::map<std::string, std::set<MacAddress>> learned;  // by port of the bridge: MACs that it saw behind it
    std::optional<NetConf> net_conf;
    std::optional<SubnetEnv> subnet_env;
    CniResults results;
    std::vector<CniFile> cni;    // in the order in which the runtime takes them
    std::vector<int> flannelds;  // processes
    netfilter::FlannelRules rules;
    std::optional<Record> record;
    std::map<Ipv4Prefix, MapNode> nodes_by_pod_cidr;
    std::optional<MacAddress> overlay_mac;  // podlane's own overlay device; nothing: there is none
    std::vector<std::string> port_sharers;  // other VXLAN devices on the overlay's UDP port
    std::set<Ipv4Address> silent;           // of the peers' `.0` addresses: those that answer no echo
    std::vector<std::string> absent;        // files of flannel's that are not there
    std::vector<std::string> gaps;          // what could not be looked at, and why

    // The first file with podlane's plugin; flannel's. Null: there is none.
    [[nodiscard]] const CniFile* podlane_cni() const;
    [[nodiscard]] const CniFile* flannel_cni() const;
    // Where host-local keeps the addresses of flannel's pods.
    [[nodiscard]] std::string flannel_store() const;
    // flannel's network name: its own configuration's, or what flannel calls it unless told otherwise.
    [[nodiscard]] std::string flannel_network_name() const;
    // What flannel knew: its device's as long as that is up (routes and neighbours go when it goes down), the record's
    // after; null: neither.
    [[nodiscard]] const FlannelNetwork* known_network() const;
    // flannel's device went down, and the agent made its own.
    [[nodiscard]] bool flannel_is_replaced() const { return flannel && !flannel_is_up && overlay_mac; }
    // How flannel's device, while it is up, differs from that on record; empty: in nothing, or one of them is not
    // there.
    [[nodiscard]] std::string change_since_record() const;
    // Ports of the bridge whose pods are not the agent's: flannel's rules alone translate what they send.
    [[nodiscard]] std::size_t ports_of_flannel() const;
};

enum class Probe { off, peers };
// `peers` asks every peer's `.0` for an ICMP echo.
[[nodiscard]] Facts collect(const Config& config, const Place& place, Probe probe);

// The client of this node's agent.
[[nodiscard]] AgentClient client_of(const Place& place);

// In the order in which libcni takes them; a file that is none is in `gaps`.
[[nodiscard]] std::vector<CniFile> read_cni_files(const Place& place, const std::filesystem::path& directory,
                                                  std::vector<std::string>& gaps);

}  // namespace podlane::migrate
