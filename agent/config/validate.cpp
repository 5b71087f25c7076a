// SPDX-License-Identifier: Apache-2.0
#include "agent/config/validate.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "agent/text/printable.h"

namespace podlane {
namespace {

constexpr PortRange node_ports = {30000, 32767};  // kube-apiserver's --service-node-port-range
constexpr PortRange preferred_ports = {20000, 29999};

// What the kernel takes as a device's name (dev_valid_name), and what is not a sysctl path of its own.
std::string device_name_problem(std::string_view name) {
    if (name.size() >= IFNAMSIZ) {
        return fmt::format("\"{}\" is longer than {} characters", printable(name), IFNAMSIZ - 1);
    }
    const bool reserved = name == "." || name == ".." || name == "all" || name == "default";
    const bool bad = std::ranges::any_of(name, [](char c) {
        return c == '/' || c == ':' || c == ' ' || c == '%' || static_cast<unsigned char>(c) < 0x21;
    });
    return reserved || bad ? fmt::format("\"{}\" cannot be a device's name", printable(name)) : std::string();
}

struct NamedDevice {
    std::string key;
    std::string_view name;
};

Result<void> check_devices(const Config& config) {
    if (config.overlay.device.empty()) {
        return fail("overlay.device: must not be empty");
    }
    std::vector<NamedDevice> devices = {{"underlay.device", config.underlay.device},
                                        {"overlay.device", config.overlay.device}};
    for (std::size_t i = 0; i < config.macvlan.size(); ++i) {
        devices.push_back({fmt::format("macvlan[{}].shim", i), config.macvlan[i].shim});
    }
    for (auto device = devices.begin(); device != devices.end(); ++device) {
        if (auto problem = device_name_problem(device->name); !problem.empty()) {
            return fail("{}: {}", device->key, problem);
        }
        const auto same = std::find_if(devices.begin(), device, [&](const NamedDevice& other) {
            return !other.name.empty() && other.name == device->name;
        });
        if (same != device) {
            return fail("{}: {} is the name of {} as well", device->key, device->name, same->key);
        }
    }
    return {};
}

// A pod's network is found by its master; and no shim can stand on another.
Result<void> check_master(const Config& config, std::size_t index) {
    const auto& master = config.macvlan[index].master;
    for (std::size_t i = 0; i < config.macvlan.size(); ++i) {
        if (i < index && config.macvlan[i].master == master) {
            return fail("macvlan[{}].master: {} is the master of macvlan[{}] as well", index, master, i);
        }
        if (config.macvlan[i].shim == master) {
            return fail("macvlan[{}].master: {} is the shim of macvlan[{}]", index, master, i);
        }
    }
    if (master == config.overlay.device) {
        return fail("macvlan[{}].master: {} is overlay.device", index, master);
    }
    return {};
}

Result<void> check_macvlans(const Config& config) {
    for (std::size_t i = 0; i < config.macvlan.size(); ++i) {
        const auto& macvlan = config.macvlan[i];
        if (macvlan.name.empty() || macvlan.master.empty() || macvlan.shim.empty()) {
            return fail("macvlan[{}]: name, master and shim are needed", i);
        }
        if (macvlan.host_address == HostAddress::move && macvlan.mode != MacvlanMode::bridge) {
            return fail("macvlan[{}].hostAddress: move needs mode: bridge, there is no shim in the others", i);
        }
        if (auto problem = device_name_problem(macvlan.master); !problem.empty()) {
            return fail("macvlan[{}].master: {}", i, problem);
        }
        if (auto good = check_master(config, i); !good) {
            return good;
        }
        const auto same = std::ranges::count(config.macvlan, macvlan.name, &MacvlanConfig::name);
        if (same > 1) {
            return fail("macvlan[{}].name: {} comes twice", i, macvlan.name);
        }
    }
    return {};
}

Result<void> check_prefixes(std::string_view key, const std::vector<Ipv4Prefix>& prefixes) {
    // A /7 holds addresses that no cluster can have for itself; what is meant is a slip of the pen.
    constexpr unsigned widest = 8;
    for (std::size_t i = 0; i < prefixes.size(); ++i) {
        const Ipv4Prefix& prefix = prefixes[i];
        if (prefix.length() < widest || !prefix.address().is_unicast()) {
            return fail("{}[{}]: {} cannot be a network of pods or services", key, i, prefix);
        }
        for (std::size_t before = 0; before < i; ++before) {
            if (prefix.overlaps(prefixes[before])) {
                return fail("{}[{}]: {} overlaps {}", key, i, prefix, prefixes[before]);
            }
        }
    }
    return {};
}

Result<void> check_service_prefixes(std::string_view key, const std::vector<Ipv4Prefix>& services,
                                    const std::vector<Ipv4Prefix>& clusters) {
    if (auto good = check_prefixes(key, services); !good) {
        return good;
    }
    for (const auto& service : services) {
        for (const auto& cluster : clusters) {
            if (service.overlaps(cluster)) {
                return fail("{}: {} overlaps {} of clusterCIDRs", key, service, cluster);
            }
        }
    }
    return {};
}

Result<void> check_networks(const Config& config) {
    if (config.cluster_cidrs.empty()) {
        return fail("clusterCIDRs: at least one is needed");
    }
    if (auto good = check_prefixes("clusterCIDRs", config.cluster_cidrs); !good) {
        return good;
    }
    if (auto good = check_service_prefixes("serviceCIDRs", config.service_cidrs, config.cluster_cidrs); !good) {
        return good;
    }
    for (std::size_t i = 0; i < config.macvlan.size(); ++i) {
        if (auto good = check_service_prefixes(fmt::format("macvlan[{}].serviceCIDRs", i),
                                               config.macvlan[i].service_cidrs, config.cluster_cidrs);
            !good) {
            return good;
        }
    }
    return {};
}

// macvlan pods are translated towards the other nodes, whether or not pods are to the outside.
Result<void> check_snat(const Config& config, const PortRange& ephemeral) {
    const auto& snat = config.snat;
    if (!snat.enabled && config.macvlan.empty()) {
        return {};
    }
    if (snat.port_range.low == 0) {
        return fail(
            "snat.portRange: beside NodePorts ({}) and the host's ephemeral ports ({}) no 1000 ports are free: "
            "narrow net.ipv4.ip_local_port_range{}",
            node_ports, ephemeral, config.macvlan.empty() ? ", or set snat.enabled: false" : "");
    }
    if (snat.port_range.overlaps(node_ports)) {
        return fail("snat.portRange: {} collides with NodePorts ({})", snat.port_range, node_ports);
    }
    if (snat.port_range.overlaps(ephemeral)) {
        return fail("snat.portRange: {} collides with the host's ephemeral ports ({}, net.ipv4.ip_local_port_range)",
                    snat.port_range, ephemeral);
    }
    return {};
}

Result<void> check_state(const StateConfig& state) {
    if (state.file.empty()) {
        return fail("state.file: must not be empty");
    }
    for (const auto& endpoint : state.etcd.endpoints) {
        if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://")) {
            return fail("state.etcd.endpoints: \"{}\" begins with neither http:// nor https://", printable(endpoint));
        }
    }
    const auto& prefix = state.etcd.prefix;
    const bool plain = std::ranges::all_of(prefix, [](char c) { return c > 0x20 && c < 0x7f; });
    if (!prefix.starts_with('/') || !plain || prefix.find_first_not_of('/') == std::string::npos) {
        return fail("state.etcd.prefix: \"{}\" is no path as in /coreos.com/network", printable(prefix));
    }
    if (state.etcd.endpoints.empty()) {
        return fail("state.etcd.endpoints: at least one is needed");
    }
    if (state.etcd.cert_file.empty() != state.etcd.key_file.empty()) {
        return fail("state.etcd: certFile and keyFile go together");
    }
    return {};
}

Result<void> check_names(const Config& config) {
    constexpr std::size_t longest_name = 253;
    const std::string& name = config.node_name;
    if (name.empty() || name.size() > longest_name || name.find('/') != std::string::npos || printable(name) != name) {
        return fail("nodeName: \"{}\" cannot be a node's name", printable(name));
    }
    if (config.run_dir.empty() || config.run_dir == "/") {
        return fail("runDir: \"{}\" cannot be used", config.run_dir);
    }
    if (config.bpffs.empty() || config.bpffs == "/") {
        return fail("bpffs: \"{}\" cannot be used", config.bpffs);
    }
    return {};
}

// As kubectl takes a key; what follows it on kubectl's command line is a likely mistake.
Result<void> check_taint(const Config& config) {
    const std::string& key = config.kubernetes.startup_taint;
    const bool good = std::ranges::all_of(key, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("-_./").find(c) != std::string_view::npos;
    });
    return good ? Result<void>()
                : fail("kubernetes.startupTaint: \"{}\" is not the key of a taint, without value and effect",
                       printable(key));
}

}  // namespace

std::optional<PortRange> default_port_range(const PortRange& ephemeral) {
    if (!preferred_ports.overlaps(ephemeral)) {
        return preferred_ports;
    }
    constexpr unsigned most = 10'000;
    constexpr unsigned fewest = 1'000;
    std::array<PortRange, 3> taken = {PortRange{0, 1023}, node_ports, ephemeral};
    std::ranges::sort(taken, {}, &PortRange::low);
    std::optional<PortRange> best;
    unsigned best_width = fewest - 1;
    unsigned low = 0;
    const auto consider = [&](unsigned end) {
        const unsigned width = end > low ? std::min(end - low, most) : 0;
        if (width > best_width) {
            best = PortRange{static_cast<std::uint16_t>(low), static_cast<std::uint16_t>(low + width - 1)};
            best_width = width;
        }
    };
    for (const auto& range : taken) {
        consider(range.low);
        low = std::max(low, range.high + 1U);
    }
    consider(65536);
    return best;
}

Result<void> validate(const Config& config, const HostFacts& host) {
    const auto all_good = [&]() -> Result<void> {
        for (const auto& check : {&check_names, &check_devices, &check_macvlans, &check_networks, &check_taint}) {
            if (auto good = check(config); !good) {
                return good;
            }
        }
        return {};
    };
    if (auto good = all_good(); !good) {
        return good;
    }
    if (auto good = check_state(config.state); !good) {
        return good;
    }
    return check_snat(config, host.ephemeral_ports);
}

}  // namespace podlane
