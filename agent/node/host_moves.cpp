// SPDX-License-Identifier: Apache-2.0
#include "agent/node/host_moves.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/link/ownership.h"
#include "agent/log.h"
#include "agent/netlink/link.h"
#include "agent/node/host_announcement.h"
#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_shim.h"

namespace podlane {
namespace {

// Who configures a device adds an address first and its routes after, which the kernel takes for that device only as
// long as the address is there.
constexpr auto settle_time = std::chrono::seconds(1);
// Trying closes the shim for a moment.
constexpr auto retry_time = std::chrono::seconds(10);
constexpr auto patience_before = std::chrono::seconds(1);
constexpr auto patience_after = std::chrono::seconds(3);

MoveEnds ends_to_shim(const MacvlanNetwork& network) {
    return {.from = {.ifindex = network.master_ifindex, .name = network.master},
            .to = {.ifindex = network.shim_ifindex, .name = network.shim}};
}

MoveEnds reversed(MoveEnds ends) {
    std::swap(ends.from, ends.to);
    return ends;
}

Result<netlink::Link> device(netlink::Socket& socket, std::uint32_t ifindex) {
    const auto link = netlink::find_link(socket, ifindex);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link) {
        return fail("there is no device #{}", ifindex);
    }
    return **link;
}

}  // namespace

HostStep next_step(const MoveFacts& facts) {
    if (facts.place == HostPlace::shim && !facts.wanted) {
        return HostStep::give_back;
    }
    const bool has_work = facts.place == HostPlace::shim ? facts.is_on_both : facts.wanted && facts.has_address;
    if (!has_work || !facts.shim_ready || facts.under_question) {
        return HostStep::none;
    }
    if (!facts.settled) {
        return HostStep::wait;
    }
    if (facts.place == HostPlace::shim) {
        return HostStep::follow_up;
    }
    return facts.asked ? HostStep::move : HostStep::ask;
}

HostMoves::HostMoves(EventLoop& loop, netlink::Socket& socket, const std::vector<MacvlanConfig>& settings,
                     std::function<void()> on_due)
    : loop_(loop), socket_(socket), on_due_(std::move(on_due)) {
    for (const auto& network : settings) {
        masters_.emplace(network.name, network.master);
        progress_.try_emplace(network.name);
    }
}

void HostMoves::note_change(const std::string& network, Progress& progress) {
    progress.changed = Clock::now();
    progress.asked = false;
    if (progress.refusal && progress.refusal->until == Refusal::Until::change) {
        forgive(network, progress);
    }
}

void HostMoves::observe_master(const std::string& network, Progress& progress, const netlink::Link& master) {
    if (!master.is_running()) {
        progress.carrier_lost = true;
        note_change(network, progress);
    } else if (std::exchange(progress.carrier_lost, false)) {
        note_change(network, progress);
        forgive(network, progress);
    }
}

void HostMoves::observe(const netlink::Event& event) {
    for (auto& [network, progress] : progress_) {
        const auto* address = std::get_if<netlink::AddressEvent>(&event);
        const auto* route = std::get_if<netlink::RouteEvent>(&event);
        const auto* link = std::get_if<netlink::LinkEvent>(&event);
        const auto master = progress.master_ifindex;
        if (std::holds_alternative<netlink::Overrun>(event)) {
            note_change(network, progress);
        }
        if (link != nullptr && link->link.name == masters_[network]) {
            observe_master(network, progress, link->link);
        }
        if (master != 0 &&
            ((address != nullptr && address->address.ifindex == master) ||
             (route != nullptr && route->route.oif == master && route->route.protocol != route_protocol))) {
            note_change(network, progress);
        }
    }
}

HostStep HostMoves::next(const MacvlanNetwork& network) {
    auto& progress = progress_[network.name];
    progress.master_ifindex = network.master_ifindex;
    const auto age = Clock::now() - progress.changed;
    const auto step = next_step({.wanted = network.wanted == HostPlace::shim,
                                 .place = network.place,
                                 .has_address = network.host_address.has_value(),
                                 .is_on_both = network.on_both,
                                 .shim_ready = network.ready,
                                 .settled = age >= settle_time,
                                 .asked = progress.asked,
                                 .under_question = progress.question != nullptr});
    if (step == HostStep::wait) {
        wait(settle_time - age);
    }
    const auto tried = Clock::now() - progress.stuck_since;
    if (step == HostStep::give_back && !progress.stuck.empty() && tried < retry_time) {
        wait(retry_time - tried);
        return HostStep::none;
    }
    return step;
}

void HostMoves::wait(Clock::duration time) {
    auto timer = loop_.after(std::chrono::ceil<std::chrono::milliseconds>(time), [this] {
        settled_.cancel();
        on_due_();
    });
    if (timer) {
        settled_ = std::move(*timer);
    }
}

void HostMoves::ask_before(const MacvlanNetwork& network) {
    auto& progress = progress_[network.name];
    progress.asked = true;
    progress.answering.reset();
    const auto rows = netlink::list_rows(socket_);
    const auto master = device(socket_, network.master_ifindex);
    const auto gateway = rows ? default_gateway(*rows, network.master_ifindex) : std::nullopt;
    if (!gateway || !master || !master->mac || !network.host_address) {
        return;
    }
    const auto done = [this, name = network.name, gateway](bool answered) {
        auto& asked = progress_[name];
        asked.question.reset();
        asked.asked = true;
        asked.answering = answered ? gateway : std::nullopt;
        on_due_();
    };
    auto question = GatewayQuestion::ask(loop_,
                                         {.ifindex = network.master_ifindex,
                                          .mac = *master->mac,
                                          .question = {.sender = *network.host_address, .target = *gateway}},
                                         patience_before, done);
    if (question) {
        progress.question = std::move(*question);
    } else {
        log::warning("macvlan {}: {}", network.name, question.error().message);
    }
}

Result<std::vector<Ipv4Address>> HostMoves::perform(const MacvlanNetwork& network, HostStep step) {
    const auto ends = ends_to_shim(network);
    if (step == HostStep::give_back) {
        return move_host(socket_, reversed(ends));
    }
    if (step == HostStep::follow_up) {
        return move_host(socket_, ends);
    }
    const auto shim = device(socket_, network.shim_ifindex);
    return shim ? move_host_to_shim(socket_, *shim, ends) : std::unexpected(shim.error());
}

void HostMoves::carry_out(const MacvlanNetwork& network, HostStep step) {
    auto& progress = progress_[network.name];
    const bool back = step == HostStep::give_back;
    progress.question.reset();
    progress.asked = false;
    const auto moved = perform(network, step);
    progress.stuck = back && !moved ? moved.error().message : std::string();
    progress.stuck_since = Clock::now();
    if (!moved) {
        if (!back) {
            refuse(network.name, {.reason = moved.error().message,
                                  .action = "mend it; the host's address stays where it is until then",
                                  .until = moved.error().code == 0 ? Refusal::Until::change : Refusal::Until::carrier});
        }
        return;
    }
    log::info("macvlan {}: {} moved to {}", network.name, fmt::join(*moved, ", "),
              back ? network.master : network.shim);
    const auto to = back ? network.master_ifindex : network.shim_ifindex;
    to_announce_.push_back({.ifindex = to, .addresses = *moved});
    const auto shim = device(socket_, network.shim_ifindex);
    if (step == HostStep::move && progress.answering && !moved->empty() && shim && shim->mac) {
        progress.proof = Proof{.asked = {.ifindex = to,
                                         .mac = *shim->mac,
                                         .question = {.sender = moved->front(), .target = *progress.answering}},
                               .shim = network.shim,
                               .master = network.master};
    }
}

void HostMoves::announce(std::vector<ReturnedHost> returned) {
    std::ranges::move(std::exchange(to_announce_, {}), std::back_inserter(returned));
    for (const auto& host : returned) {
        if (const auto told = announce_host(socket_, host); !told) {
            log::warning("{}", told.error().message);
        }
    }
    for (auto& [network, progress] : progress_) {
        if (progress.proof) {
            ask_for_proof(network, progress);
        }
    }
}

void HostMoves::ask_for_proof(const std::string& network, Progress& progress) {
    const auto proof = *std::exchange(progress.proof, std::nullopt);
    const auto done = [this, network, proof](bool answered) {
        progress_[network].question.reset();
        if (answered) {
            log::info("macvlan {}: the gateway {} answers {}", network, proof.asked.question.target, proof.shim);
            return;
        }
        refuse(network,
               {.reason = fmt::format("the gateway {} did not answer {}, the MAC of {}, with which the host's address "
                                      "had moved: it is back on {}",
                                      proof.asked.question.target, proof.asked.mac, proof.shim, proof.master),
                .action = fmt::format("let the switch port or hypervisor behind {} pass more than one MAC (port "
                                      "security, forged transmits, MAC filters), then `kill -HUP` the agent; or set "
                                      "hostAddress: keep",
                                      proof.master),
                .until = Refusal::Until::carrier});
        on_due_();
    };
    auto question = GatewayQuestion::ask(loop_, proof.asked, patience_after, done);
    if (question) {
        progress.question = std::move(*question);
    } else {
        done(false);
    }
}

void HostMoves::refuse(const std::string& network, Refusal refusal) {
    log::warning("macvlan {}: {}", network, refusal.reason);
    progress_[network].refusal = std::move(refusal);
    refused_names_.insert(network);
}

void HostMoves::forgive(const std::string& network, Progress& progress) {
    progress.refusal.reset();
    refused_names_.erase(network);
}

bool HostMoves::report(HealthBoard& health) const {
    for (const auto& [network, progress] : progress_) {
        if (!progress.stuck.empty()) {
            health.degraded("macvlan", fmt::format("{}: {}", network, progress.stuck),
                            "mend it; the host's address stays on the shim until then");
            return true;
        }
        if (progress.refusal) {
            health.degraded("macvlan", fmt::format("{}: {}", network, progress.refusal->reason),
                            progress.refusal->action);
            return true;
        }
    }
    return false;
}

}  // namespace podlane
