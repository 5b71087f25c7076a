// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/nat_commands.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <ostream>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/ctl/output.h"
#include "maps/base/address.h"
#include "maps/base/monotonic.h"
#include "maps/names.h"
#include "maps/nat_config.h"
#include "maps/typed_map.h"

namespace podlane::ctl {
namespace {

using Translation = std::pair<flow_key, nat_entry>;

// Whole seconds, rounded up; not more than none when its time is over.
std::int64_t seconds_left(const Translation& translation, std::int64_t now) {
    return (nat_expiry(translation.first, translation.second) - now + ns_per_second - 1) / ns_per_second;
}

// Those whose time is not over.
Outcome<std::vector<Translation>> live_translations(const Context& context, std::int64_t now) {
    const auto table = ReadOnlyMap<spec::nat_by_flow>::open(pin_path<spec::nat_by_flow>(context.bpffs));
    if (!table) {
        const bool absent = table.error().code == ENOENT;
        return failure(absent ? ExitStatus::not_found : ExitStatus::error, "{}", table.error().message);
    }
    std::vector<Translation> live;
    const auto read = table->for_each([&](const flow_key& flow, const nat_entry& entry) {
        if (nat_expiry(flow, entry) > now) {
            live.emplace_back(flow, entry);
        }
    });
    if (!read) {
        return failure(ExitStatus::error, "{}", read.error().message);
    }
    return live;
}

Json flags_of(const nat_entry& entry) {
    Json flags = Json::array();
    for (const auto flag : {NAT_FLAG_STACK, NAT_FLAG_HOST}) {
        if ((entry.flags & flag) != 0) {
            flags.push_back(name_of(flag));
        }
    }
    return flags;
}

Json record_of(const Translation& translation, std::int64_t now) {
    const auto& [flow, entry] = translation;
    return {{"protocol", name_of(names::protocols, flow.protocol)},
            {"podIP", Ipv4Address::from_wire(flow.pod_address).to_string()},
            {"podPort", ntohs(flow.pod_port)},
            {"natIP", Ipv4Address::from_wire(entry.nat_address).to_string()},
            {"natPort", ntohs(entry.nat_port)},
            {"destinationIP", Ipv4Address::from_wire(flow.remote_address).to_string()},
            {"destinationPort", ntohs(flow.remote_port)},
            {"state", name_of(nat_state_of(&flow, &entry))},
            {"expiresSeconds", seconds_left(translation, now)},
            {"flags", flags_of(entry)}};
}

// What a count is of, as JSON; most first.
template <typename Key, typename Describe>
Json counted(const std::map<Key, std::uint64_t>& counts, std::string_view name, const Describe& describe) {
    std::vector<std::pair<Key, std::uint64_t>> order(counts.begin(), counts.end());
    std::ranges::stable_sort(order, std::greater<>(), &std::pair<Key, std::uint64_t>::second);
    Json records = Json::array();
    for (const auto& [key, count] : order) {
        Json record = describe(key);
        record[std::string(name)] = count;
        records.push_back(std::move(record));
    }
    return records;
}

}  // namespace

Outcome<ExitStatus> nat_list(const Context& context) {
    const auto now = monotonic_ns();
    auto live = live_translations(context, now);
    if (!live) {
        return std::unexpected(live.error());
    }
    std::ranges::sort(*live, {}, [](const Translation& translation) {
        const auto& flow = translation.first;
        return std::tuple(ntohl(flow.pod_address), flow.protocol, ntohl(flow.remote_address), ntohs(flow.remote_port),
                          ntohs(flow.pod_port));
    });
    Json records = Json::array();
    for (const auto& translation : *live) {
        records.push_back(record_of(translation, now));
    }
    constexpr auto columns = std::to_array<Column>({{"protocol"},
                                                    {"podIP"},
                                                    {"podPort"},
                                                    {"natIP"},
                                                    {"natPort"},
                                                    {"destinationIP"},
                                                    {"destinationPort"},
                                                    {"state"},
                                                    {"expiresSeconds"},
                                                    {"flags", Shown::wide_only}});
    print_records(context, records, columns);
    return ExitStatus::ok;
}

Outcome<ExitStatus> nat_stats(const Context& context) {
    using Destination = std::tuple<std::uint8_t, __be32, __be32, __be16>;
    const auto live = live_translations(context, monotonic_ns());
    if (!live) {
        return std::unexpected(live.error());
    }
    std::map<__be32, std::uint64_t> by_pod;
    std::map<Destination, std::uint64_t> by_destination;
    for (const auto& [flow, entry] : *live) {
        const __be16 port = nat_state_of(&flow, &entry) == NAT_STATE_ICMP ? __be16{0} : flow.remote_port;
        ++by_pod[flow.pod_address];
        ++by_destination[{flow.protocol, entry.nat_address, flow.remote_address, port}];
    }
    const Json pods = counted(by_pod, "translations",
                              [](__be32 pod) { return Json{{"podIP", Ipv4Address::from_wire(pod).to_string()}}; });
    const Json destinations = counted(by_destination, "ports", [](const Destination& destination) {
        const auto& [protocol, nat, remote, port] = destination;
        return Json{{"protocol", name_of(names::protocols, protocol)},
                    {"natIP", Ipv4Address::from_wire(nat).to_string()},
                    {"destinationIP", Ipv4Address::from_wire(remote).to_string()},
                    {"destinationPort", ntohs(port)}};
    });
    if (context.format == OutputFormat::json || context.format == OutputFormat::yaml) {
        print_document(context, {{"pods", pods}, {"destinations", destinations}});
        return ExitStatus::ok;
    }
    constexpr auto pod_columns = std::to_array<Column>({{"podIP"}, {"translations"}});
    constexpr auto destination_columns =
        std::to_array<Column>({{"protocol"}, {"natIP"}, {"destinationIP"}, {"destinationPort"}, {"ports"}});
    print_records(context, pods, pod_columns);
    *context.out << "\n";
    print_records(context, destinations, destination_columns);
    return ExitStatus::ok;
}

}  // namespace podlane::ctl
