// SPDX-License-Identifier: Apache-2.0
// Checks of the host's own settings: reverse path filtering, DHCP, the switch port.
#include <algorithm>
#include <tuple>

#include <fmt/ranges.h>

#include "agent/doctor/checks.h"

namespace podlane::doctor {
namespace {

constexpr unsigned strict = 1;

// A device's name may have dots.
std::string sysctl_of(const std::string& device) {
    return device.contains('.') ? fmt::format("net/ipv4/conf/{}/rp_filter", device)
                                : fmt::format("net.ipv4.conf.{}.rp_filter", device);
}

// How a client is told to leave a device alone.
std::string stop_client(const DhcpClient& client) {
    if (client.command.starts_with("NetworkManager")) {
        return fmt::format("nmcli device set {} managed no", client.device);
    }
    if (client.command.starts_with("systemd-network")) {
        return fmt::format(
            "printf '[Match]\\nName={0}\\n[Link]\\nUnmanaged=yes\\n' > /etc/systemd/network/05-{0}.network && "
            "networkctl reload",
            client.device);
    }
    return client.pid == 0 ? fmt::format("ss -0 -p  # then stop the DHCP client of {}", client.device)
                           : fmt::format("kill {}", client.pid);
}

std::string describe(const DhcpClient& client) {
    return client.pid == 0 ? client.seen : fmt::format("{}: {}, process {}", client.command, client.seen, client.pid);
}

std::vector<const DhcpClient*> clients_of(const Facts& facts, const std::string& device) {
    std::vector<const DhcpClient*> clients;
    for (const auto& client : facts.dhcp_clients) {
        if (client.device == device) {
            clients.push_back(&client);
        }
    }
    return clients;
}

void check_shim(const Facts& facts, const MacvlanFacts& network, std::vector<Finding>& findings) {
    const auto& [name, master, shim] = std::tie(network.settings.name, network.settings.master, network.settings.shim);
    const auto beside = clients_of(facts, master);
    for (const auto* client : clients_of(facts, shim)) {
        findings.push_back({.id = "dhcp",
                            .what = fmt::format("a {}DHCP client works on {}, whose address podlane sets",
                                                beside.empty() ? "" : "second ", shim),
                            .evidence = beside.empty()
                                            ? describe(*client)
                                            : fmt::format("{}; {}", describe(*client), describe(*beside.front())),
                            .mend = stop_client(*client)});
    }
}

// The client of the master has a lease there, or asks for the next one.
void check_moved(const Facts& facts, const MacvlanFacts& network, std::vector<Finding>& findings) {
    const auto& master = network.settings.master;
    const auto clients = clients_of(facts, master);
    const bool leased = network.dynamic_length && network.host_address;
    if (network.settings.host_address == HostAddress::keep || (!leased && clients.empty())) {
        return;
    }
    std::vector<std::string> seen;
    std::vector<std::string> commands;
    if (leased) {
        const auto address = fmt::format("{}/{}", *network.host_address, unsigned{*network.dynamic_length});
        seen.push_back(fmt::format("{} on {} has a lifetime", address, master));
        commands.push_back(
            fmt::format("ip address change {} dev {} valid_lft forever preferred_lft forever", address, master));
    }
    if (!clients.empty()) {
        seen.push_back(describe(*clients.front()));
        commands.insert(commands.begin(), stop_client(*clients.front()));
    }
    findings.push_back({.id = "dhcp",
                        .what = fmt::format("hostAddress: move takes the host's address off {}, and a DHCP client puts "
                                            "it back there",
                                            master),
                        .evidence = fmt::format("{}", fmt::join(seen, "; ")),
                        .mend = fmt::format("{}{}", fmt::join(commands, " && "),
                                            clients.empty() ? "  # once its DHCP client is stopped" : "")});
}

}  // namespace

std::vector<Finding> check_reverse_paths(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& path : facts.reverse_paths) {
        if (std::max(path.all, path.own) != strict || path.way_back == path.device) {
            continue;
        }
        findings.push_back(
            {.id = "rp-filter",
             .what = fmt::format("{} drops {}: reverse path filtering is strict", path.device, path.source),
             .evidence = fmt::format(
                 "net.ipv4.conf.all.rp_filter = {}, {} = {}; {}", path.all, sysctl_of(path.device), path.own,
                 path.way_back.empty() ? "there is no route back" : fmt::format("the way back is {}", path.way_back)),
             .mend = fmt::format("sysctl -w {}=2", sysctl_of(path.device))});
    }
    return findings;
}

std::vector<Finding> check_dhcp(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& network : facts.macvlans) {
        check_shim(facts, network, findings);
        check_moved(facts, network, findings);
    }
    return findings;
}

std::vector<Finding> check_foreign_macs(const Facts& facts) {
    std::vector<Finding> findings;
    if (!facts.probes) {
        if (!facts.macvlans.empty()) {
            findings.push_back({.id = "foreign-macs",
                                .severity = Severity::note,
                                .what = "whether the LAN lets the MACs of macvlan pods pass was not tried",
                                .evidence = "it takes frames on the LAN",
                                .mend = "agentctl doctor --probe"});
        }
        return findings;
    }
    for (const auto& probe : *facts.probes) {
        if (!probe.own_answered) {
            findings.push_back(
                {.id = "foreign-macs",
                 .severity = Severity::note,
                 .what = fmt::format("whether the LAN of {} lets the MACs of macvlan pods pass cannot be told",
                                     probe.master),
                 .evidence = fmt::format("{} answers no ARP probe, from {} ({}'s own) either", probe.target, probe.own,
                                         probe.master)});
        } else if (!probe.foreign_answered) {
            findings.push_back(
                {.id = "foreign-macs",
                 .what = fmt::format("the switch port or hypervisor behind {} drops frames of MACs that are not its "
                                     "own: macvlan pods do not reach the LAN",
                                     probe.master),
                 .evidence = fmt::format("{} answers an ARP probe from {} ({}'s own) and none from {}", probe.target,
                                         probe.own, probe.master, probe.foreign),
                 .mend = "agentctl doctor --probe  # after port security is off on the switch, or promiscuous mode, "
                         "forged transmits and MAC changes are allowed on the hypervisor's port"});
        }
    }
    return findings;
}

}  // namespace podlane::doctor
