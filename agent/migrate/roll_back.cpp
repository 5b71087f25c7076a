// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <set>
#include <system_error>

#include <nlohmann/json.hpp>

#include "agent/cni/endpoint.h"
#include "agent/files.h"
#include "agent/migrate/processes.h"
#include "agent/migrate/steps.h"
#include "agent/netfilter/conntrack.h"
#include "agent/netfilter/patience.h"
#include "agent/netlink/link.h"
#include "agent/node/cleanup.h"

namespace podlane::migrate {
namespace {

// podlane's own device, which holds the port.
Result<std::string> displaced_device(netlink::Socket& socket, const std::string& name) {
    const auto link = netlink::find_link(socket, name);
    if (!link) {
        return std::unexpected(link.error());
    }
    const bool is_ours = *link && (*link)->vxlan && (*link)->vxlan->external;
    return is_ours ? name : std::string();
}

Result<void> restore_network(const Record& record, const std::string& overlay_device, const Say& say) {
    auto socket = netlink::Socket::open();
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto displaced = displaced_device(*socket, overlay_device);
    if (!displaced) {
        return std::unexpected(displaced.error());
    }
    const auto restored = restore(*socket, record.network, *displaced);
    if (!restored) {
        return std::unexpected(restored.error());
    }
    std::ranges::for_each(*restored, say);
    return {};
}

Result<void> restore_rules(const netfilter::FlannelRules& rules, const Say& say) {
    const auto present = netfilter::read_flannel_rules();
    if (!present) {
        return std::unexpected(present.error());
    }
    if (auto restored = netfilter::with_patience([&] { return netfilter::restore_flannel_rules(rules); }); !restored) {
        return restored;
    }
    const auto there = present->lines();
    for (const auto& line : rules.lines()) {
        if (std::ranges::find(there, line) == there.end()) {
            say(fmt::format("restored rule {}", line));
        }
    }
    return {};
}

std::filesystem::path records_of(const WayBack& way) {
    return way.place.run_dir / "endpoints";
}

std::filesystem::path record_of(const WayBack& way, const std::string& id) {
    return records_of(way) / fmt::format("{}.json", id);
}

Result<void> forget_adopted(const WayBack& way, const Say& say) {
    for (const auto& id : way.record->adopted) {
        std::error_code error;
        const auto file = record_of(way, id);
        if (std::filesystem::remove(file, error)) {
            say(fmt::format("removed {}", file.string()));
        } else if (error) {
            return fail_errno(error.value(), "remove {}", file.string());
        }
    }
    return {};
}

// Stays where the runtime would have no configuration then.
Result<void> remove_cni_file(const WayBack& way, const Say& say) {
    const std::filesystem::path configured(way.agent.cni_config_file);
    if (configured.empty()) {
        return {};
    }
    std::vector<std::string> gaps;
    const auto files = read_cni_files(way.place, configured.parent_path(), gaps);
    const auto ours = std::ranges::find(files, configured, &CniFile::path);
    if (ours == files.end() || !ours->uses("podlane")) {
        return {};
    }
    const auto file = way.place.on_node(configured);
    if (std::ranges::none_of(files, [](const CniFile& one) { return one.uses("flannel"); })) {
        say(fmt::format("left {}: flannel has none there; remove it when it has", file.string()));
        return {};
    }
    std::error_code error;
    if (!std::filesystem::remove(file, error) && error) {
        return fail_errno(error.value(), "remove {}", file.string());
    }
    say(fmt::format("removed {}", file.string()));
    return {};
}

// Where podlane's plugin keeps pods' addresses. Empty: there is no configuration of its any more.
std::string address_store(const WayBack& way) {
    std::vector<std::string> gaps;
    const std::filesystem::path configured(way.agent.cni_config_file);
    const auto files =
        configured.empty() ? std::vector<CniFile>() : read_cni_files(way.place, configured.parent_path(), gaps);
    const auto ours = std::ranges::find_if(files, [](const CniFile& file) { return file.uses("podlane"); });
    return ours == files.end() ? std::string() : ours->store;
}

// Pods that podlane's plugin attached: nothing forwards for them any more. flannel's plugin knows nothing of them and
// gives no address back for them.
void name_orphans(const WayBack& way, const std::string& store, const Say& say) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(records_of(way), error)) {
        const auto text = entry.path().extension() == ".json" ? read_small_file(entry.path())
                                                              : Result<std::string>(fail("no record"));
        const auto endpoint = text ? Endpoint::parse(*text) : std::unexpected(text.error());
        if (endpoint && endpoint->link == "veth") {
            say(fmt::format("restart pod {}/{} ({}): podlane attached it", endpoint->name_space, endpoint->name,
                            endpoint->ip));
            if (!store.empty()) {
                say(fmt::format("  and free its address then: rm {}/{}/{}", store, endpoint->network, endpoint->ip));
            }
        }
    }
}

void name_duties(const WayBack& way, const std::string& store, const Say& say) {
    name_orphans(way, store, say);
    const auto node = way.record ? way.record->node : "NODE";
    say("left to you:");
    say(fmt::format("  kubectl label node {} podlane.io/network- # flannel comes back", node));
    say(fmt::format("  kubectl annotate node {} podlane.io/vtep-mac- podlane.io/vtep-ip-", node));
}

Result<void> put_record_away(const Place& place, const Say& say) {
    auto aside = place.record;
    aside += ".rolled-back";
    std::error_code error;
    std::filesystem::rename(place.record, aside, error);
    if (error) {
        return fail_errno(error.value(), "rename {}", place.record.string());
    }
    say(fmt::format("renamed {} to {}", place.record.string(), aside.filename().string()));
    return {};
}

// Adopted pods' packets went past the stack: what conntrack knows of their older connections is out of date, and it
// takes them for INVALID, which kube-proxy drops. While podlane's programs forward, nothing makes such entries again.
// A rollback does not stop at this: the node would get nothing back.
void forget_unfollowed(const WayBack& way, const Say& say) {
    std::set<Ipv4Address> pods;
    for (const auto& id : way.record->adopted) {
        const auto text = read_small_file(record_of(way, id));
        if (const auto endpoint = text ? Endpoint::parse(*text) : std::unexpected(text.error())) {
            pods.insert(endpoint->ip);
        }
    }
    const auto forgotten = netfilter::forget_plain_connections(pods);
    if (!forgotten) {
        say(fmt::format("connections that conntrack has not followed may end: {}", forgotten.error().message));
    } else if (*forgotten > 0) {
        say(fmt::format("forgot {} connections that conntrack has not followed", *forgotten));
    }
}

// cleanup prints on stdout itself.
Result<void> remove_podlane(const WayBack& way) {
    auto cleaned =
        clean_up({.run_dir = way.place.run_dir, .bpffs = way.place.bpffs, .overlay_device = way.agent.overlay_device},
                 CleanupMode::remove);
    std::fflush(stdout);
    return cleaned;
}

}  // namespace

Result<void> roll_back(const WayBack& way, const Say& say) {
    if (agent_runs(client_of(way.place)) || !find_processes_here("podlane-agent").empty()) {
        return fail(
            "an agent runs on this node, and would undo it: stop it first (kubectl label node NODE "
            "podlane.io/network-, or systemctl stop podlane-agent); its hooks go on forwarding");
    }
    const auto again = [](const Error& error, std::string_view state) {
        return fail("{}; {}: run this again", error.message, state);
    };
    if (way.record) {
        if (const auto restored = restore_network(*way.record, way.agent.overlay_device, say); !restored) {
            return again(restored.error(), "podlane's programs are still in place");
        }
        if (const auto restored = restore_rules(way.record->rules, say); !restored) {
            return again(restored.error(), "flannel's device is back, not all of its rules");
        }
        forget_unfollowed(way, say);
    }
    if (const auto removed = remove_podlane(way); !removed) {
        return again(removed.error(), "what is flannel's is back, not all of podlane's is gone");
    }
    if (way.record) {
        if (const auto forgotten = forget_adopted(way, say); !forgotten) {
            return again(forgotten.error(), "flannel forwards");
        }
    }
    const auto store = address_store(way);
    if (const auto removed = remove_cni_file(way, say); !removed) {
        return again(removed.error(), "flannel forwards, new pods are podlane's");
    }
    if (way.record) {
        if (const auto done = put_record_away(way.place, say); !done) {
            return again(done.error(), "all else is done");
        }
    }
    name_duties(way, store, say);
    return {};
}

}  // namespace podlane::migrate
