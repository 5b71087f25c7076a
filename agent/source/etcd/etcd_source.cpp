// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/etcd_source.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "agent/log.h"
#include "agent/source/source_log.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Changes that come together are told together.
constexpr milliseconds coalescing(20);
// So long may etcd take to answer before the saved state is begun with; a failure ends the wait.
constexpr milliseconds patience = seconds(3);
// A node that is starting may get its address late.
constexpr milliseconds address_interval = seconds(1);
constexpr const char* origin = "etcd";

std::string without_slashes_at_the_end(std::string prefix) {
    prefix.erase(prefix.find_last_not_of('/') + 1);
    return prefix;
}

}  // namespace

Result<std::unique_ptr<EtcdSource>> EtcdSource::create(EventLoop& loop, Options options) {
    auto client = HttpClient::create(loop);
    if (!client) {
        return std::unexpected(client.error());
    }
    options.prefix = without_slashes_at_the_end(std::move(options.prefix));
    return std::unique_ptr<EtcdSource>(new EtcdSource(loop, std::move(options), std::move(*client)));
}

EtcdSource::EtcdSource(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client)
    : loop_(loop),
      options_(std::move(options)),
      server_(etcd::describe(options_.access, options_.prefix)),
      client_(std::move(client)),
      gateway_(*client_, options_.access),
      follower_(loop, gateway_, {.prefix = options_.prefix, .random = random()}, [this] { take_change(); }),
      keeper_(loop, options_.cache_file, [this] {
          return SavedState{
              .node_name = options_.node_name, .server = server_, .saved_at = now_as_text(), .objects = objects_};
      }) {}

etcd::Random EtcdSource::random() {
    return [this] { return std::uniform_real_distribution(0.0, 1.0)(random_); };
}

Result<void> EtcdSource::start() {
    read_cache();
    schedule(patience_, patience, &EtcdSource::end_patience);
    look_for_address();
    follower_.start();
    return {};
}

void EtcdSource::reload() {
    look_for_address();
    follower_.restart();
    if (claimer_ != nullptr) {
        claimer_->hurry();
    }
    take_change();
}

void EtcdSource::read_cache() {
    if (options_.cache_file.empty()) {
        return;
    }
    auto saved = load_state(
        options_.cache_file, {.node_name = options_.node_name, .server = server_, .saved_at = "", .objects = {}},
        origin, [this](auto server) { return etcd::is_described_by(options_.access, options_.prefix, server); });
    if (saved) {
        saved_ = std::move(*saved);
        follower_.store().remember(saved_->objects.nodes);
        grace_.remember(saved_->objects.nodes);
    } else if (saved.error().code != ENOENT) {
        log::warning("cluster state: no saved state: {}", saved.error().message);
    }
}

void EtcdSource::look_for_address() {
    const auto address = options_.own_address();
    if (!address) {
        address_problem_ = fmt::format("this node's address: {}", address.error().message);
        schedule(address_timer_, address_interval, &EtcdSource::look_for_address);
        take_change();
        return;
    }
    address_problem_.clear();
    if (address_ != *address) {
        if (address_) {
            log::warning("cluster state: this node's address was {}, it is {} now", *address_, *address);
        }
        address_ = *address;
        claimer_ = std::make_unique<etcd::Claimer>(loop_, gateway_, follower_.store(), make_claim(*address),
                                                   [this] { take_change(); });
    }
    take_change();
}

etcd::Claim EtcdSource::make_claim(Ipv4Address address) {
    etcd::Claim claim(
        {.endpoints = gateway_.endpoints(), .random = random(), .ttl = options_.lease_ttl, .mac = options_.mac},
        {.public_ip = address, .vni = options_.vni, .vtep_mac = options_.vtep_mac(address)});
    const auto& before = live_ || !saved_ ? objects_ : saved_->objects;
    const auto self = before.nodes.find(options_.node_name);
    if (self == before.nodes.end() || self->second.pod_cidrs.empty()) {
        return claim;
    }
    if (const auto subnet = Ipv4Prefix::parse(self->second.pod_cidrs.front())) {
        const auto published = etcd::read_annotations(self->second.annotations);
        claim.remember({.subnet = *subnet, .public_ip = published.public_ip, .mac = published.vtep_mac});
    }
    return claim;
}

void EtcdSource::take_change() {
    if (!publish_timer_.active()) {
        schedule(publish_timer_, coalescing, &EtcdSource::publish);
    }
}

void EtcdSource::end_patience() {
    patient_ = false;
    publish();
}

// What is there is a whole state of etcd's, and this node is in it.
bool EtcdSource::is_live() const {
    return follower_.in_sync() && problem_of_network().empty() && claimer_ != nullptr &&
           claimer_->claim().held().has_value();
}

void EtcdSource::publish() {
    if (claimer_ != nullptr && follower_.in_sync()) {
        const auto& network = follower_.store().network();
        claimer_->advance(problem_of_network().empty() ? &*network : nullptr);
    }
    look_for_losses();
    const auto first = first_problem();
    patient_ = patient_ && first.empty();
    bool objects_changed = false;
    if (is_live()) {
        auto objects = live_objects();
        objects_changed = !live_ || objects != objects_;
        live_ = true;
        objects_ = std::move(objects);
        saved_.reset();
    } else if (!live_ && saved_ && !patient_ && !health_.in_sync) {
        objects_changed = true;
        objects_ = saved_->objects;
    }
    SourceHealth health{.in_sync = live_ || (saved_ && !patient_), .problem = problem(), .warnings = warnings()};
    const bool health_changed = health != health_;
    std::swap(health, health_);
    log_changes(health, *this, server_);
    if (objects_changed && live_) {
        keeper_.changed();
    }
    if (const auto end = grace_.ends(); end && !grace_timer_.active()) {
        schedule(grace_timer_, std::chrono::ceil<milliseconds>(*end - etcd::Grace::Clock::now()), &EtcdSource::publish);
    }
    if ((objects_changed || health_changed) && on_change_) {
        on_change_();
    }
}

// As long as etcd cannot be used, or this node's own key is not back, those of others cannot be expected.
void EtcdSource::look_for_losses() {
    const bool upset = upsets_ != follower_.upsets();
    upsets_ = follower_.upsets();
    const bool unusable = live_ && (!problem_of_network().empty() || !follower_.store().has_own());
    const bool away = grace_.ends() && !follower_.problem().empty();
    if (upset || unusable || away) {
        grace_.alarm(etcd::Grace::Clock::now());
    }
}

ClusterObjects EtcdSource::live_objects() {
    auto nodes = follower_.store().nodes([&](const auto& subnet) { return claimer_->claim().owns(subnet); });
    nodes.insert_or_assign(options_.node_name, self());
    const auto before = grace_.missing().size();
    ClusterObjects objects{.nodes = grace_.take(std::move(nodes), etcd::Grace::Clock::now()), .pods = {}};
    tell_of_missing(before);
    return objects;
}

void EtcdSource::tell_of_missing(std::size_t before) {
    const auto& missing = grace_.missing();
    if (missing.size() > before) {
        log::warning("cluster state: etcd lacks {} of {} nodes: they stay for a minute, in case they come back",
                     missing.size(), objects_.nodes.size());
    }
}

NodeObject EtcdSource::self() const {
    const auto& claim = claimer_->claim();
    const auto& attributes = claim.attributes();
    NodeObject node;
    node.name = options_.node_name;
    node.internal_ips = {address_->to_string()};
    node.pod_cidrs = {claim.held()->to_string()};
    node.origin = origin;
    node.annotations = etcd::annotations_of({.subnet = *claim.held(),
                                             .public_ip = attributes.public_ip,
                                             .backend_type = "vxlan",
                                             .vtep_mac = attributes.vtep_mac,
                                             .vni = attributes.vni});
    return node;
}

// Of a network that cannot be used nothing is taken.
std::string EtcdSource::problem_of_network() const {
    const auto& network = follower_.store().network();
    if (!network) {
        return follower_.store().network_problem();
    }
    const bool inside =
        std::ranges::any_of(options_.cluster_cidrs, [&](const auto& cidr) { return cidr.contains(network->network); });
    return inside ? std::string()
                  : fmt::format("{}: Network: {} is not in clusterCIDRs: add it there", follower_.store().config_key(),
                                network->network);
}

std::string EtcdSource::first_problem() const {
    if (!follower_.problem().empty()) {
        return follower_.problem();
    }
    if (!address_problem_.empty()) {
        return address_problem_;
    }
    if (follower_.in_sync() && !problem_of_network().empty()) {
        return problem_of_network();
    }
    return claimer_ == nullptr ? std::string() : claimer_->problem();
}

std::string EtcdSource::problem() const {
    auto first = first_problem();
    if (live_ || !saved_ || patient_) {
        return first;
    }
    return fmt::format("{}; begun with the state of {}, saved in {}",
                       first.empty() ? fmt::format("{}: no answer yet", server_) : first, saved_->saved_at,
                       options_.cache_file);
}

std::vector<ObjectWarning> EtcdSource::warnings() const {
    auto warnings = follower_.store().warnings();
    const auto& network = follower_.store().network();
    const auto compare = [&](const char* field, auto theirs, auto ours, const char* key) {
        if (theirs && *theirs != ours) {
            warnings.push_back({.object = fmt::format("etcd key {}", follower_.store().config_key()),
                                .field = field,
                                .message = fmt::format("{}, but {} is {} here", *theirs, key, ours),
                                .origin = ""});
        }
    };
    if (network) {
        compare("Backend.VNI", network->vni, options_.vni, "overlay.vni");
        compare("Backend.Port", network->port, options_.port, "overlay.port");
    }
    return warnings;
}

void EtcdSource::schedule(EventLoop::Watch& timer, milliseconds delay, void (EtcdSource::*action)()) {
    auto armed = loop_.after(delay, [this, &timer, action] {
        timer.cancel();
        (this->*action)();
    });
    if (armed) {
        timer = std::move(*armed);
    } else {
        log::error("cluster state: {}", armed.error().message);
    }
}

}  // namespace podlane
