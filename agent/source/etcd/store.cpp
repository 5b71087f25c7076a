// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/store.h"

#include <utility>

#include "agent/state/flannel_annotations.h"
#include "agent/text/printable.h"

namespace podlane::etcd {
namespace {

constexpr const char* backend_data_annotation = "flannel.alpha.coreos.com/backend-data";
constexpr const char* public_ip_annotation = "flannel.alpha.coreos.com/public-ip";

}  // namespace

Store::Store(std::string prefix)
    : config_key_(prefix + "/config"),
      subnets_(std::move(prefix) + "/subnets/"),
      network_problem_(fmt::format("there is no {}", config_key_)) {}

void Store::replace(const RangeAnswer& list) {
    remembered_.clear();
    std::set<std::string> stays = put_meanwhile_;
    for (const auto& value : list.values) {
        stays.insert(value.key);
    }
    std::vector<std::string> gone;
    for (const auto& [key, known] : known_) {
        if (!stays.contains(key)) {
            gone.push_back(key);
        }
    }
    for (const auto& key : gone) {
        forget(key);
    }
    for (const auto& value : list.values) {
        if (!put_meanwhile_.contains(value.key)) {
            forget(value.key);
            take(value);
        }
    }
    take_waiting();
}

void Store::put_own(const KeyValue& change) {
    if (put(change)) {
        put_meanwhile_.insert(change.key);
    }
}

bool Store::put(const KeyValue& change) {
    const auto known = known_.find(change.key);
    if (known != known_.end() && known->second.revision >= change.revision) {
        return false;
    }
    forget(change.key);
    if (!change.deleted) {
        take(change);
    }
    take_waiting();
    return true;
}

void Store::lose_own(const std::string& key) {
    forget(key);
    take_waiting();
}

// Whose subnet has become free.
void Store::take_waiting() {
    for (const auto& [key, value] : std::exchange(waiting_, {})) {
        forget(key);
        take(value);
    }
}

void Store::forget(const std::string& key) {
    const auto known = known_.find(key);
    if (known == known_.end()) {
        return;
    }
    if (known->second.use == Known::Use::good) {
        good_.erase(*known->second.subnet);
    }
    waiting_.erase(key);
    if (key == config_key_) {
        network_.reset();
        network_problem_ = fmt::format("there is no {}", config_key_);
    }
    warnings_.erase(key);
    known_.erase(known);
}

void Store::take(const KeyValue& value) {
    if (value.key == config_key_) {
        known_[value.key] = {.revision = value.revision};
        take_network(value.value);
    } else if (value.key.starts_with(subnets_)) {
        take_subnet(value);
    }
}

void Store::take_network(const std::string& text) {
    auto network = parse_network(text);
    if (network) {
        network_ = *network;
        network_problem_.clear();
    } else {
        network_problem_ = fmt::format("{}: {}", config_key_, network.error().message);
    }
}

void Store::take_subnet(const KeyValue& value) {
    auto& known = known_[value.key] = {.revision = value.revision};
    const auto subnet = parse_subnet_key(std::string_view(value.key).substr(subnets_.size()));
    if (!subnet) {
        warn(value.key, {.member = "key", .message = "does not end with a subnet, as in 10.5.52.0-24"});
        return;
    }
    Subnet read{
        .subnet = *subnet, .public_ip = {}, .backend_type = "", .lease = value.lease, .revision = value.revision};
    known.subnet = subnet;
    // Another key of the same subnet, with another IPv6 one, is somebody else's: it waits until that one goes.
    if (const auto same = good_.find(*subnet); same != good_.end()) {
        warn(value.key, {.member = "key", .message = fmt::format("{} is node {}'s", *subnet, same->second.public_ip)});
        waiting_[value.key] = value;
        return;
    }
    if (const auto bad = read_subnet_value(value.value, read)) {
        warn(value.key, *bad);
        return;
    }
    known.use = Known::Use::good;
    good_.insert_or_assign(*subnet, std::move(read));
}

void Store::warn(const std::string& key, const BadValue& problem) {
    warnings_[key] = {.object = fmt::format("etcd key {}", printable(key)),
                      .field = problem.member,
                      .message = problem.message,
                      .origin = ""};
}

void Store::remember(const std::map<std::string, NodeObject>& nodes) {
    for (const auto& [name, node] : nodes) {
        remembered_.insert(node.pod_cidrs.begin(), node.pod_cidrs.end());
    }
}

// A subnet goes by itself, since another key of it is as good; a key that names none by its text.
std::optional<std::string> Store::name_of(const std::string& key) const {
    if (!key.starts_with(subnets_)) {
        return std::nullopt;
    }
    const auto subnet = parse_subnet_key(std::string_view(key).substr(subnets_.size()));
    return subnet ? subnet->to_string() : key;
}

Follow::Content Store::compare(const RangeAnswer& list) const {
    Follow::Content content{.listed = {}, .known = remembered_};
    for (const auto& value : list.values) {
        if (auto name = name_of(value.key)) {
            content.listed.insert(std::move(*name));
        }
    }
    for (const auto& [key, known] : known_) {
        if (auto name = name_of(key)) {
            content.known.insert(std::move(*name));
        }
    }
    return content;
}

void Store::doubt(const RangeAnswer& list) {
    if (own_ && !put_meanwhile_.contains(key_of(*own_)) && !compare(list).listed.contains(own_->to_string())) {
        lose_own(key_of(*own_));
    }
}

Claim::View Store::view(const Network* network) const {
    Claim::View view{.network = network, .subnets = &good_, .taken = {}};
    for (const auto& [key, known] : known_) {
        if (known.subnet) {
            view.taken.push_back(*known.subnet);
        }
    }
    return view;
}

std::map<std::string, NodeObject> Store::nodes(const std::function<bool(const Subnet&)>& is_own) const {
    std::map<std::string, NodeObject> nodes;
    std::map<std::string, std::int64_t> newest;
    for (const auto& [prefix, subnet] : good_) {
        if (is_own(subnet) || subnet.backend_type.empty()) {
            continue;
        }
        const auto name = subnet.public_ip.to_string();
        auto& node = nodes[name];
        node.name = name;
        node.origin = "etcd";
        node.internal_ips = {name};
        node.pod_cidrs.push_back(prefix.to_string());
        // A node may have a subnet that it gave up and that has not ended yet.
        if (auto& revision = newest[name]; subnet.revision > revision) {
            revision = subnet.revision;
            node.annotations = annotations_of(subnet);
        }
    }
    return nodes;
}

std::vector<ObjectWarning> Store::warnings() const {
    std::vector<ObjectWarning> result;
    result.reserve(warnings_.size());
    for (const auto& [key, warning] : warnings_) {
        result.push_back(warning);
    }
    return result;
}

std::map<std::string, std::string> annotations_of(const Subnet& subnet) {
    return {{"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
            {"flannel.alpha.coreos.com/backend-type", subnet.backend_type},
            {backend_data_annotation,
             subnet.vtep_mac ? flannel_backend_data(subnet.vni, *subnet.vtep_mac) : std::string("null")},
            {public_ip_annotation, subnet.public_ip.to_string()}};
}

Published read_annotations(const std::map<std::string, std::string>& annotations) {
    const auto text = [&](const char* name) {
        const auto found = annotations.find(name);
        return found == annotations.end() ? std::string() : found->second;
    };
    const auto address = Ipv4Address::parse(text(public_ip_annotation));
    return {.public_ip = address ? std::optional(*address) : std::nullopt,
            .vtep_mac = read_backend_data(text(backend_data_annotation)).vtep_mac};
}

}  // namespace podlane::etcd
