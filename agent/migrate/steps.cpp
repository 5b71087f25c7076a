// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/steps.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <system_error>
#include <thread>

#include "agent/netfilter/patience.h"
#include "agent/netlink/link.h"

namespace podlane::migrate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds look_interval{100};

std::string now_as_rfc3339() {
    const auto now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
}

Record record_of(const Facts& facts) {
    const auto& config = facts.config;
    return {.node = facts.agent->node,
            .time = now_as_rfc3339(),
            .bridge = facts.bridge_name,
            .agent = {.run_dir = config.run_dir,
                      .bpffs = config.bpffs,
                      .overlay_device = config.overlay.device,
                      .cni_config_file = config.cni.config_file},
            .network = *facts.flannel,
            .rules = facts.rules,
            .adopted = {},
            .silent_peers = facts.silent};
}

std::string name_of(const PlannedPod& pod) {
    return pod.endpoint.name.empty() ? fmt::format("container {}", pod.endpoint.container_id)
                                     : fmt::format("pod {}/{}", pod.endpoint.name_space, pod.endpoint.name);
}

// Written before the first pod is handed over: a rollback has to know every one that may have been.
Result<void> keep_record(const Facts& facts, const Plan& plan, const Place& place, const Say& say) {
    Record record = facts.record ? *facts.record : record_of(facts);
    const auto before = record.adopted.size();
    for (const auto& pod : plan.pods) {
        if (pod.state != PodState::restart) {  // those of an earlier apply, too: its record may have been moved away
            record.adopted.insert(pod.endpoint.id());
        }
    }
    if (facts.record && record.adopted.size() == before) {
        return {};
    }
    if (auto written = write_record(place.record, record); !written) {
        return written;
    }
    say(fmt::format("{} {}", facts.record ? "added to" : "wrote", place.record.string()));
    return {};
}

// Peers and rules may have changed since apply. At the last moment at which they can be read.
Result<void> update_record(const Facts& facts, const Place& place, const Say& say) {
    if (!facts.record || !facts.flannel_is_up) {
        return {};
    }
    Record record = *facts.record;
    record.network = *facts.flannel;
    record.rules = facts.rules;
    if (record == *facts.record) {
        return {};
    }
    if (auto written = write_record(place.record, record); !written) {
        return written;
    }
    say(fmt::format("brought {} up to date", place.record.string()));
    return {};
}

Result<void> delete_flannel_device(const FlannelDevice& device, const Say& say) {
    auto socket = netlink::Socket::open();
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto link = netlink::find_link(*socket, device.name);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (*link) {
        if (auto deleted = socket->execute(netlink::delete_link(**link)); !deleted) {
            return deleted;
        }
    }
    say(fmt::format("deleted {}", device.name));
    return {};
}

bool has_own_overlay(const AgentView& view) {
    const auto overlay = std::ranges::find(view.subsystems, "overlay", &AgentSubsystem::name);
    return overlay != view.subsystems.end() && overlay->state == "ok";
}

// Until everything is as it should be, or the time of two calls of the agent is over: it sees the device go and makes
// its own within some 30 ms, which in a large cluster takes longer.
struct Switched {
    Facts facts;
    std::vector<Check> checks;
};
Switched wait_for_switch(const Facts& before, const Place& place) {
    const auto deadline = Clock::now() + 2 * place.timeout;
    while (true) {
        const auto view = ask_agent(client_of(place));
        const bool is_late = Clock::now() >= deadline;
        if (is_late || (view && has_own_overlay(*view))) {
            Switched now{.facts = collect(before.config, place, Probe::peers), .checks = {}};
            now.checks = verify(now.facts, Stage::switched);
            if (is_late || have_passed(now.checks)) {
                return now;
            }
        }
        std::this_thread::sleep_for(look_interval);
    }
}

Result<void> remove_rules(const Facts& facts, const Say& say) {
    const auto& rules = facts.rules;
    if (rules.empty()) {
        return {};
    }
    if (const auto pods = facts.ports_of_flannel(); pods > 0) {
        say(fmt::format("left flannel's rules: {} pods on {} need them; run this again when they have been restarted",
                        pods, facts.bridge_name));
        return {};
    }
    if (const auto removed = netfilter::with_patience([&] { return netfilter::remove_flannel_rules(rules); });
        !removed) {
        return removed;
    }
    for (const auto& line : rules.lines()) {
        say(fmt::format("removed rule {}", line));
    }
    return {};
}

// Looks again: what has the name now may be another, or have a port.
Result<void> remove_bridge(const Facts& facts, const Say& say) {
    auto socket = netlink::Socket::open();
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto bridge = read_bridge(*socket, facts.bridge_name);
    if (!bridge) {
        return std::unexpected(bridge.error());
    }
    if (!*bridge) {
        return {};
    }
    const auto* self = facts.agent ? facts.agent->self() : nullptr;
    const auto reason = why_kept(**bridge, self != nullptr ? self->pod_cidrs : std::vector<Ipv4Prefix>{});
    if (!reason.empty()) {
        say(fmt::format("left {}: {}", facts.bridge_name, reason));
        return {};
    }
    if (auto deleted = socket->execute(
            netlink::delete_link({.ifindex = (*bridge)->ifindex, .name = (*bridge)->name, .kind = "bridge"}));
        !deleted) {
        return deleted;
    }
    say(fmt::format("deleted {}", facts.bridge_name));
    return {};
}

}  // namespace

Result<void> apply(const Facts& facts, const Plan& plan, const Place& place, const Say& say) {
    if (const auto kept = keep_record(facts, plan, place, say); !kept) {
        return fail("{}; nothing was changed", kept.error().message);
    }
    const auto client = client_of(place);
    std::size_t refused = 0;
    for (const auto& pod : plan.pods) {
        if (pod.state == PodState::restart) {
            say(fmt::format("left {} on {}: {}", pod.endpoint.container_id.empty() ? "the pod" : name_of(pod),
                            pod.interface, pod.reason));
        }
        if (pod.state != PodState::adoptable) {
            continue;
        }
        if (const auto taken = hand_over(client, pod.endpoint); taken) {
            say(fmt::format("adopted {} {} on {}", name_of(pod), pod.endpoint.ip, pod.interface));
        } else {
            ++refused;
            say(fmt::format("NOT adopted {} {} on {}: {}", name_of(pod), pod.endpoint.ip, pod.interface,
                            taken.error().message));
        }
    }
    if (refused > 0) {
        return fail("{} pods were not adopted, and go on as before; run this again, or agentctl migrate rollback",
                    refused);
    }
    return {};
}

Result<std::vector<Check>> commit(const Facts& facts, const Place& place, const Say& say) {
    if (const auto updated = update_record(facts, place, say); !updated) {
        return fail("{}; nothing was changed", updated.error().message);
    }
    if (facts.flannel) {
        if (const auto deleted = delete_flannel_device(facts.flannel->device, say); !deleted) {
            return fail("{}; nothing was changed", deleted.error().message);
        }
    }
    auto switched = wait_for_switch(facts, place);
    if (!have_passed(switched.checks)) {
        return std::move(switched.checks);
    }
    say(fmt::format("verified: {} is in its place", facts.config.overlay.device));
    if (const auto removed = remove_rules(switched.facts, say); !removed) {
        return fail("{}; the overlay is podlane's, rules of flannel's remain: run this again", removed.error().message);
    }
    if (const auto removed = remove_bridge(switched.facts, say); !removed) {
        return fail("{}; all but {} is done: run this again", removed.error().message, facts.bridge_name);
    }
    return std::move(switched.checks);
}

}  // namespace podlane::migrate
