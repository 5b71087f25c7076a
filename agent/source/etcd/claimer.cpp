// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/claimer.h"

#include <utility>

#include "agent/log.h"

namespace podlane::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr HttpTimeouts timeouts = {.connect = seconds(5), .head = seconds(10), .total = seconds(15)};
// As long as the lease lives a failure harms nobody, and Follower tells of an etcd that is away.
constexpr std::size_t tolerated_failures = 3;

}  // namespace

Claimer::Claimer(EventLoop& loop, Gateway& gateway, Store& store, Claim claim, std::function<void()> changed)
    : loop_(loop), gateway_(gateway), store_(store), claim_(std::move(claim)), changed_(std::move(changed)) {}

void Claimer::advance(const Network* network) {
    timer_.cancel();
    const auto now = Claim::Clock::now();
    const auto held = claim_.held();
    const auto step = claim_.next(store_.view(network), now);
    if (claim_.held()) {
        store_.hold(*claim_.held());
    }
    if (held && claim_.held() != held) {
        log::error("cluster state: subnet {} is another node's by now, this one has {}: pods from before are cut off",
                   *held, *claim_.held());
    }
    if (const auto* grant = std::get_if<Claim::Grant>(&step)) {
        ask("/v3/lease/grant", grant_request(grant->ttl), [this](const auto& answer) { take_grant(answer); });
    } else if (const auto* keep = std::get_if<Claim::KeepAlive>(&step)) {
        ask("/v3/lease/keepalive", keep_alive_request(keep->lease),
            [this](const auto& answer) { take_keep_alive(answer); });
    } else if (const auto* put = std::get_if<Claim::Write>(&step)) {
        write(*put);
    } else if (const auto* wait = std::get_if<Claim::Wait>(&step)) {
        auto timer = loop_.after(std::chrono::ceil<milliseconds>(wait->until - now), [this] { changed_(); });
        if (timer) {
            timer_ = std::move(*timer);
        } else {
            log::error("cluster state: {}", timer.error().message);
        }
    }
}

void Claimer::ask(const char* path, std::string body, UnaryCall::Done take) {
    const auto begun = call_.start(
        gateway_, {.endpoint = claim_.endpoint(), .path = path, .body = std::move(body), .timeouts = timeouts},
        std::move(take));
    if (!begun) {
        fail(path, {.status = 0, .body = "", .problem = begun.error().message});
    }
}

void Claimer::write(const Claim::Write& write) {
    ask("/v3/kv/txn",
        put_request({.key = store_.key_of(write.subnet),
                     .value = subnet_value(write.attributes),
                     .lease = write.lease,
                     .revision = write.revision}),
        [this, write](const UnaryCall::Answer& answer) { take_write(write, answer); });
}

void Claimer::take_grant(const UnaryCall::Answer& answer) {
    const auto lease = answer.good() ? parse_grant(answer.body) : podlane::fail("{}", answer.problem);
    if (!lease) {
        fail("grant a lease", {.status = answer.status, .body = "", .problem = lease.error().message});
        return;
    }
    claim_.granted(*lease, Claim::Clock::now());
    failure_.clear();
    changed_();
}

void Claimer::take_keep_alive(const UnaryCall::Answer& answer) {
    const auto lease = answer.good() ? parse_keep_alive(answer.body) : podlane::fail("{}", answer.problem);
    if (!lease) {
        fail("renew the lease", {.status = answer.status, .body = "", .problem = lease.error().message});
        return;
    }
    if (lease->ttl.count() == 0) {
        log::warning("cluster state: the lease of this node's subnet is over");
    }
    claim_.kept_alive(*lease, Claim::Clock::now());
    failure_.clear();
    changed_();
}

void Claimer::take_write(const Claim::Write& write, const UnaryCall::Answer& answer) {
    const auto put = answer.good() ? parse_put(answer.body) : podlane::fail("{}", answer.problem);
    if (!put) {
        fail("write this node's subnet", {.status = answer.status, .body = "", .problem = put.error().message});
        return;
    }
    failure_.clear();
    if (put->done) {
        const bool is_new = claim_.held() != write.subnet;
        store_.put_own({.key = store_.key_of(write.subnet),
                        .value = subnet_value(write.attributes),
                        .revision = put->position.revision,
                        .lease = write.lease});
        if (claim_.held() && is_new) {
            log::error(
                "cluster state: subnet {} is another node's by now, this one has {}: pods from before are cut "
                "off",
                *claim_.held(), write.subnet);
        } else if (is_new || write.revision == 0) {
            log::info("cluster state: this node has subnet {}", write.subnet);
        }
        claim_.written(write);
    } else {
        for (const auto& found : put->found) {
            store_.put_own(found);
        }
        if (put->found.empty()) {
            store_.lose_own(store_.key_of(write.subnet));
        }
        claim_.refused(Claim::Clock::now());
    }
    changed_();
}

void Claimer::fail(const char* what, const UnaryCall::Answer& answer) {
    failure_ = fmt::format("{}: {}: {}", gateway_.endpoint(claim_.endpoint()), what, answer.problem);
    log::debug("cluster state: {}", failure_);
    claim_.failed(answer.status, Claim::Clock::now());
    changed_();
}

std::string Claimer::problem() const {
    const bool tells = !claim_.held() || claim_.failures() > tolerated_failures;
    return !claim_.problem().empty() ? claim_.problem() : tells ? failure_ : std::string();
}

}  // namespace podlane::etcd
