// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/claim.h"

#include <algorithm>

namespace podlane::etcd {
namespace {

using std::chrono::milliseconds;

// A lease is renewed when so much of it is over.
constexpr int renewals = 24;
constexpr int http_not_found = 404;

}  // namespace

void Claim::remember(const Before& before) {
    remembered_ = before;
    before_ = before.subnet;
    if (before.mac && options_.mac == Options::Mac::keep) {
        attributes_.vtep_mac = *before.mac;
    }
}

// Somebody else may have the old PublicIP by now, but with another subnet.
bool Claim::owns(const Subnet& subnet) const {
    return subnet.public_ip == attributes_.public_ip ||
           (remembered_ && subnet.subnet == remembered_->subnet && subnet.public_ip == remembered_->public_ip &&
            subnet.vtep_mac && subnet.vtep_mac == remembered_->mac);
}

Claim::Step Claim::next(const View& view, Clock::time_point now) {
    if (running_) {
        return Running{};
    }
    if (now < not_before_) {
        return Wait{not_before_};
    }
    problem_.clear();
    if (view.subnets == nullptr) {
        return Idle{};
    }
    const Subnet* const own = own_subnet(view);
    auto step = own != nullptr ? keep(*own, now) : take(view);
    running_ = !std::holds_alternative<Wait>(step) && !std::holds_alternative<Idle>(step);
    return step;
}

// The one that is held; otherwise a reservation comes first, and what was held once.
const Subnet* Claim::own_subnet(const View& view) const {
    const Subnet* best = nullptr;
    const auto rank = [&](const Subnet& subnet) {
        return subnet.subnet == held_ ? 3 : subnet.lease == 0 ? 2 : subnet.subnet == before_ ? 1 : 0;
    };
    for (const auto& [prefix, subnet] : *view.subnets) {
        if (owns(subnet) && may_have(view, prefix) && (best == nullptr || rank(subnet) > rank(*best))) {
            best = &subnet;
        }
    }
    return best;
}

// What this node has stays its own while there is no network that tells; a new one does not.
bool Claim::may_have(const View& view, const Ipv4Prefix& subnet) const {
    return subnet == held_ || (view.network == nullptr ? subnet == before_ : view.network->allows(subnet));
}

Claim::Step Claim::keep(const Subnet& own, Clock::time_point now) {
    held_ = own.subnet;
    before_ = own.subnet;
    if (options_.mac == Options::Mac::keep && own.vtep_mac && own.backend_type == "vxlan") {
        attributes_.vtep_mac = *own.vtep_mac;
    }
    const bool reservation = own.lease == 0;
    const bool lost = !reservation && own.lease == dead_lease_;
    if (lost && lease_ == 0) {
        return Grant{options_.ttl};
    }
    if (!reservation && !lost && (own.lease != lease_ || now >= renew_at_)) {
        return KeepAlive{own.lease};
    }
    if (lost || !attributes_.are_those_of(own)) {
        return Write{.subnet = own.subnet,
                     .attributes = attributes_,
                     .lease = reservation ? 0 : lease_,
                     .revision = own.revision};
    }
    return reservation ? Step(Idle{}) : Step(Wait{renew_at_});
}

Claim::Step Claim::take(const View& view) {
    const auto subnet = choose(view);
    if (!subnet && view.network == nullptr) {
        return Idle{};
    }
    if (!subnet) {
        problem_ = fmt::format("no subnet is free from {} to {}", view.network->first,
                               Ipv4Prefix::masked(view.network->last, view.network->subnet_length));
        return Idle{};
    }
    if (lease_ == 0) {
        return Grant{options_.ttl};
    }
    return Write{.subnet = *subnet, .attributes = attributes_, .lease = lease_};
}

std::optional<Ipv4Prefix> Claim::choose(const View& view) const {
    const auto is_free = [&](const Ipv4Prefix& subnet) {
        return std::ranges::none_of(view.taken, [&](const auto& each) { return each.overlaps(subnet); });
    };
    if (view.network == nullptr) {
        return held_ && is_free(*held_) ? held_ : std::nullopt;
    }
    const bool as_before = before_ && view.network->allows(*before_) && is_free(*before_);
    return as_before ? before_ : choose_subnet(*view.network, view.taken, options_.random);
}

void Claim::granted(const Lease& lease, Clock::time_point now) {
    running_ = false;
    retry_.succeeded();
    take_lease(lease, now);
}

void Claim::take_lease(const Lease& lease, Clock::time_point now) {
    const auto period = std::chrono::duration_cast<milliseconds>(lease.ttl) / renewals;
    lease_ = lease.id;
    // Nodes that were started together do not renew together.
    renew_at_ = now + spread(options_.random, period * 3 / 4, period);
}

void Claim::refused(Clock::time_point now) {
    running_ = false;
    not_before_ = now + retry_.failed();
}

void Claim::written(const Write& write) {
    running_ = false;
    retry_.succeeded();
    held_ = write.subnet;
    before_ = write.subnet;
}

void Claim::kept_alive(const Lease& lease, Clock::time_point now) {
    running_ = false;
    retry_.succeeded();
    if (lease.ttl.count() > 0) {
        take_lease(lease, now);
        return;
    }
    // Its key goes, or has gone already.
    dead_lease_ = lease.id;
    lease_ = lease_ == lease.id ? 0 : lease_;
}

void Claim::failed(int status, Clock::time_point now) {
    running_ = false;
    not_before_ = now + retry_.failed();
    if (status == http_not_found) {  // the lease that a key was to have
        dead_lease_ = lease_;
        lease_ = 0;
    }
}

}  // namespace podlane::etcd
