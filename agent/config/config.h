// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/log.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane {

enum class StateSource { kubernetes, etcd, file };
enum class XdpMode { automatic, native, generic, off };
enum class OverlayMode { automatic, vxlan, host_gw };
enum class MacvlanMode { bridge, private_mode, vepa, passthru };
enum class HostAddress { keep, move };

// UDP and TCP ports, both ends included.
struct PortRange {
    std::uint16_t low = 0;
    std::uint16_t high = 0;

    [[nodiscard]] constexpr bool overlaps(const PortRange& other) const {
        return low <= other.high && other.low <= high;
    }
    [[nodiscard]] std::string to_string() const { return fmt::format("{}-{}", low, high); }
    bool operator==(const PortRange&) const = default;
};

struct ListenAddress {
    std::string host;  // an IPv4 or IPv6 address, without brackets
    std::uint16_t port = 0;

    bool operator==(const ListenAddress&) const = default;
};

struct EtcdConfig {
    std::vector<std::string> endpoints = {"http://127.0.0.1:2379"};
    std::string prefix = "/coreos.com/network";
    std::string ca_file;
    std::string cert_file;
    std::string key_file;
};

struct StateConfig {
    StateSource source = StateSource::kubernetes;
    std::string file = "/etc/podlane/cluster.yaml";                  // a file or a directory; absolute
    std::string kubeconfig;                                          // empty: the pod's service account
    std::string cache_file = "/var/lib/podlane/cluster-state.json";  // of the last good state; empty: none is kept
    EtcdConfig etcd;
};

struct UnderlayConfig {
    std::string device;  // empty: the device that holds the node's InternalIP
    XdpMode xdp = XdpMode::automatic;
};

struct OverlayConfig {
    OverlayMode mode = OverlayMode::automatic;
    std::string device = "podlane0";
    std::uint32_t vni = 1;      // 24 bits
    std::uint16_t port = 8472;  // UDP, host byte order
    std::uint32_t mtu = 0;      // bytes of the inner IP packet; 0: the underlay's MTU less the overhead
    bool flannel = false;
};

struct SnatConfig {
    bool enabled = true;
    std::vector<Ipv4Prefix> non_masquerade_cidrs;
    PortRange port_range;                                          // always set after loading
    std::string ip_masq_agent_file = "/etc/config/ip-masq-agent";  // empty: none is read
};

struct MacvlanConfig {
    std::string name;
    std::string master;
    MacvlanMode mode = MacvlanMode::bridge;
    HostAddress host_address = HostAddress::keep;
    std::string shim;
    std::vector<Ipv4Prefix> service_cidrs;
};

// What the container runtime is to read, once pods can be added.
struct CniFileConfig {
    std::string config_file;    // absolute; empty: none is written
    std::string template_file;  // absolute; empty: the default text
};

// What the agent does to its Node object, besides the status.
struct KubernetesConfig {
    std::string startup_taint;  // its key; empty: none is removed
};

// The agent's whole configuration, validated: contract.md says what each key means. Paths are absolute.
struct Config {
    std::string node_name;  // never empty after loading
    std::string run_dir = "/run/podlane";
    std::string bpffs = "/sys/fs/bpf/podlane";
    StateConfig state;
    std::vector<Ipv4Prefix> cluster_cidrs = {Ipv4Prefix::masked(Ipv4Address::from_host(0x0af40000), 16)};
    std::vector<Ipv4Prefix> service_cidrs;
    UnderlayConfig underlay;
    OverlayConfig overlay;
    SnatConfig snat;
    std::vector<MacvlanConfig> macvlan;
    CniFileConfig cni;
    KubernetesConfig kubernetes;
    std::optional<ListenAddress> listen = ListenAddress{"127.0.0.1", 9479};  // none: turned off

    log::Level log_level = log::Level::info;
    log::Format log_format = log::Format::text;
};

// What configuration depends on besides flags and file. A value, so that tests need no other host.
struct HostFacts {
    std::map<std::string, std::string> environment;
    std::string host_name;
    PortRange ephemeral_ports = {32768, 60999};  // net.ipv4.ip_local_port_range
    std::string default_config = "/etc/podlane/podlane.yaml";
    std::string current_directory = "/";
};
// Of the process and its network namespace.
[[nodiscard]] HostFacts read_host_facts();

// What flags or environment say in place of the file. Paths may be relative to the current directory.
struct Overrides {
    std::optional<std::string> config = std::nullopt;
    std::optional<std::string> node_name = std::nullopt;
    std::optional<std::string> run_dir = std::nullopt;
    std::optional<std::string> bpffs = std::nullopt;
    std::optional<std::string> state_file = std::nullopt;
    std::optional<std::string> underlay = std::nullopt;
    std::optional<std::string> log_level = std::nullopt;
    std::optional<std::string> log_format = std::nullopt;
};

// `flags`, then PODLANE_* environment, then the file, then defaults: one validated configuration. Reads the file
// anew each time. An error is one line; one of the file begins with "<file>:<line>: <key>".
[[nodiscard]] Result<Config> load_config(const Overrides& flags, const HostFacts& host);

// A configuration as a text, for tests and tools: `name` stands in messages.
[[nodiscard]] Result<Config> parse_config(std::string_view text, std::string_view name, const HostFacts& host);

}  // namespace podlane
