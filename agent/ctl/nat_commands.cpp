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
#include "maps/nat_use.h"
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

// Ports of a destination that are in use: all of them, and those of the range that new ones are taken from.
struct PortCount {
    std::uint64_t all = 0;
    std::uint64_t of_range = 0;
    std::uint64_t range = 0;  // how many it has; 0: not known
};
using Destination = std::tuple<std::uint8_t, __be32, __be32, __be16>;
using PodCounts = std::map<__be32, std::uint64_t>;
using DestinationCounts = std::map<Destination, PortCount>;

Destination sortable(const nat_destination& destination) {
    return {destination.protocol, destination.nat_address, destination.remote_address, destination.remote_port};
}

PodCounts count_by_pod(const std::vector<Translation>& translations) {
    PodCounts counts;
    for (const auto& [flow, entry] : translations) {
        ++counts[flow.pod_address];
    }
    return counts;
}

// The range is as the programs noted it when they gave the destination's last port.
Outcome<DestinationCounts> count_by_destination(const Context& context, const std::vector<Translation>& translations) {
    const auto ranges =
        ReadOnlyMap<spec::nat_ports_by_destination>::open(pin_path<spec::nat_ports_by_destination>(context.bpffs));
    if (!ranges) {
        return failure(ExitStatus::error, "{}", ranges.error().message);
    }
    std::map<Destination, nat_ports> known;
    const auto read = ranges->for_each([&](const nat_destination& destination, const nat_ports& ports) {
        known.emplace(sortable(destination), ports);
    });
    if (!read) {
        return failure(ExitStatus::error, "{}", read.error().message);
    }
    DestinationCounts counts;
    for (const auto& [flow, entry] : translations) {
        const auto destination = sortable(nat_destination_of(flow, entry));
        auto& count = counts[destination];
        ++count.all;
        if (const auto ports = known.find(destination); ports != known.end()) {
            count.range = ports->second.port_count;
            count.of_range += has_port_of(entry, ports->second.port_low, ports->second.port_count) ? 1 : 0;
        }
    }
    return counts;
}

// Rounded down. Null: the limit is not known.
Json percent(std::uint64_t used, std::uint64_t limit) {
    constexpr std::uint64_t hundred = 100;
    return limit == 0 ? Json() : Json(hundred * used / limit);
}

// As one array, most first.
Json sorted_by(std::string_view field, std::vector<Json> records) {
    std::ranges::stable_sort(records, std::greater<>(), [name = std::string(field)](const Json& record) {
        return record.at(name).get<std::uint64_t>();
    });
    return Json(std::move(records));
}

Json records_of(const PodCounts& counts) {
    std::vector<Json> records;
    for (const auto& [pod, count] : counts) {
        records.push_back(Json{{"podIP", Ipv4Address::from_wire(pod).to_string()},
                               {"translations", count},
                               {"maxTranslations", nat_flows_per_pod},
                               {"usedPercent", percent(count, nat_flows_per_pod)}});
    }
    return sorted_by("translations", std::move(records));
}

Json records_of(const DestinationCounts& counts) {
    std::vector<Json> records;
    for (const auto& [destination, count] : counts) {
        const auto& [protocol, nat, remote, port] = destination;
        records.push_back(Json{{"protocol", name_of(names::protocols, protocol)},
                               {"natIP", Ipv4Address::from_wire(nat).to_string()},
                               {"destinationIP", Ipv4Address::from_wire(remote).to_string()},
                               {"destinationPort", ntohs(port)},
                               {"ports", count.all},
                               {"maxPorts", count.range == 0 ? Json() : Json(count.range)},
                               {"usedPercent", percent(count.of_range, count.range)}});
    }
    return sorted_by("ports", std::move(records));
}

Json table_record(std::size_t translations) {
    return {{"translations", translations},
            {"maxTranslations", spec::nat_by_flow::capacity},
            {"usedPercent", percent(translations, spec::nat_by_flow::capacity)}};
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
    const auto live = live_translations(context, monotonic_ns());
    if (!live) {
        return std::unexpected(live.error());
    }
    const auto by_destination = count_by_destination(context, *live);
    if (!by_destination) {
        return std::unexpected(by_destination.error());
    }
    const Json pods = records_of(count_by_pod(*live));
    const Json destinations = records_of(*by_destination);
    const Json table = table_record(live->size());
    if (context.format == OutputFormat::json || context.format == OutputFormat::yaml) {
        print_document(context, {{"pods", pods}, {"destinations", destinations}, {"table", table}});
        return ExitStatus::ok;
    }
    constexpr auto pod_columns =
        std::to_array<Column>({{"podIP"}, {"translations"}, {"maxTranslations"}, {"usedPercent"}});
    constexpr auto destination_columns = std::to_array<Column>(
        {{"protocol"}, {"natIP"}, {"destinationIP"}, {"destinationPort"}, {"ports"}, {"maxPorts"}, {"usedPercent"}});
    constexpr auto table_columns = std::to_array<Column>({{"translations"}, {"maxTranslations"}, {"usedPercent"}});
    print_records(context, pods, pod_columns);
    *context.out << "\n";
    print_records(context, destinations, destination_columns);
    *context.out << "\n";
    print_records(context, Json::array({table}), table_columns);
    return ExitStatus::ok;
}

}  // namespace podlane::ctl
