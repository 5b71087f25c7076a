// SPDX-License-Identifier: Apache-2.0
#include "agent/node/nat_pressure.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/base/address.h"
#include "maps/names.h"
#include "maps/nat_use.h"

namespace podlane {
namespace {

bool is_short(std::size_t used, std::size_t limit) {
    return used * 10 > limit * 9;
}

std::string text_of(const nat_destination& destination) {
    const auto port = destination.remote_port == 0 ? "" : fmt::format(":{}", ntohs(destination.remote_port));
    return fmt::format("{} {}{} from {}", name_of(names::protocols, destination.protocol),
                       Ipv4Address::from_wire(destination.remote_address), port,
                       Ipv4Address::from_wire(destination.nat_address));
}

}  // namespace

NatUse larger_of(const NatUse& one, const NatUse& other) {
    NatUse larger = one;
    larger.translations = std::max(one.translations, other.translations);
    if (other.ports > one.ports) {
        larger.destination = other.destination;
        larger.ports = other.ports;
    }
    if (other.flows > one.flows) {
        larger.pod = other.pod;
        larger.flows = other.flows;
    }
    return larger;
}

std::size_t NatTally::Hash::operator()(const nat_destination& destination) const {
    std::array<char, sizeof(destination)> bytes{};
    std::memcpy(bytes.data(), &destination, bytes.size());
    return std::hash<std::string_view>()({bytes.data(), bytes.size()});
}

bool NatTally::Equal::operator()(const nat_destination& one, const nat_destination& other) const {
    return std::memcmp(&one, &other, sizeof(one)) == 0;
}

void NatTally::add(const flow_key& flow, const nat_entry& entry) {
    ++use_.translations;
    if (const auto flows = ++flows_[flow.pod_address]; flows > use_.flows) {
        use_.flows = flows;
        use_.pod = flow.pod_address;
    }
    if (!has_port_of(entry, config_.port_low, config_.port_count)) {
        return;
    }
    const auto destination = nat_destination_of(flow, entry);
    if (const auto ports = ++ports_[destination]; ports > use_.ports) {
        use_.ports = ports;
        use_.destination = destination;
    }
}

void NatTally::reset() {
    use_ = {};
    ports_.clear();
    flows_.clear();
}

SubsystemHealth nat_health(const NatUse& use, const nat_config& config) {
    const auto used = fmt::format("{} of {} translations, ports {}-{}", use.translations, spec::nat_by_flow::capacity,
                                  config.port_low, config.port_low + config.port_count - 1);
    std::vector<std::string> problems;
    if (is_short(use.translations, spec::nat_by_flow::capacity)) {
        problems.emplace_back("the table is nearly full");
    }
    if (is_short(use.ports, config.port_count)) {
        problems.push_back(
            fmt::format("{} of {} ports in use towards {}", use.ports, config.port_count, text_of(use.destination)));
    }
    if (is_short(use.flows, config.flows_per_pod)) {
        problems.push_back(fmt::format("{} of the {} translations that one pod may hold are those of {}", use.flows,
                                       config.flows_per_pod, Ipv4Address::from_wire(use.pod)));
    }
    if (problems.empty()) {
        return {.name = "snat", .state = HealthState::ok, .reason = used, .action = {}};
    }
    return {.name = "snat",
            .state = HealthState::degraded,
            .reason = fmt::format("{}: {}", used, fmt::join(problems, ", ")),
            .action = "find who opens them by `agentctl nat stats`"};
}

}  // namespace podlane
