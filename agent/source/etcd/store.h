// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/source/etcd/claim.h"
#include "agent/source/etcd/follow.h"
#include "agent/source/etcd/messages.h"
#include "agent/state/objects.h"

namespace podlane::etcd {

// What etcd holds below the prefix, as far as it is flannel's. What cannot be read is left out with a warning that
// names the key.
class Store {
public:
    // `prefix`: without a slash at its end.
    explicit Store(std::string prefix);

    // A list is asked for, and there. A key that this node put in between stays: the watch from there tells of it.
    void list_begins() { put_meanwhile_.clear(); }
    void replace(const RangeAnswer& list);
    // A change that a watch tells of. One that is older than what is known of the key is not taken.
    bool put(const KeyValue& change);
    // One that this node made, or met: it holds before the watch tells of it.
    void put_own(const KeyValue& change);
    // This node's key, that was to be changed, is not there any more.
    void lose_own(const std::string& key);

    // Subnets of a saved state: only a list is held against them.
    void remember(const std::map<std::string, NodeObject>& nodes);
    [[nodiscard]] Follow::Content compare(const RangeAnswer& list) const;
    // This node's.
    void hold(const Ipv4Prefix& subnet) { own_ = subnet; }
    // Of a list that is doubted one thing counts: that this node's key is not in it. It is put back at once, since the
    // other nodes wait for it as this one does for theirs.
    void doubt(const RangeAnswer& list);
    // This node's subnet has a key, be it another node's by now.
    [[nodiscard]] bool has_own() const { return own_ && good_.contains(*own_); }

    [[nodiscard]] const std::optional<Network>& network() const { return network_; }
    // Why there is none; empty otherwise.
    [[nodiscard]] const std::string& network_problem() const { return network_problem_; }
    [[nodiscard]] Claim::View view(const Network* network) const;
    // The other nodes: each PublicIP is one, by whose text it goes. flannel's annotations say what its key says.
    [[nodiscard]] std::map<std::string, NodeObject> nodes(const std::function<bool(const Subnet&)>& is_own) const;
    [[nodiscard]] std::vector<ObjectWarning> warnings() const;

    [[nodiscard]] const std::string& config_key() const { return config_key_; }
    [[nodiscard]] std::string key_of(const Ipv4Prefix& subnet) const { return subnets_ + subnet_key(subnet); }

private:
    struct Known {
        std::int64_t revision = 0;
        std::optional<Ipv4Prefix> subnet = std::nullopt;  // that the key names
        enum class Use : std::uint8_t { none, good } use = Use::none;
    };
    void take_waiting();
    [[nodiscard]] std::optional<std::string> name_of(const std::string& key) const;
    void take(const KeyValue& value);
    void forget(const std::string& key);
    void take_network(const std::string& text);
    void take_subnet(const KeyValue& value);
    void warn(const std::string& key, const BadValue& problem);

    std::string config_key_;
    std::string subnets_;  // with its slash
    std::map<std::string, Known> known_;
    std::set<std::string> put_meanwhile_;
    std::set<std::string> remembered_;
    std::optional<Ipv4Prefix> own_;
    std::optional<Network> network_;
    std::string network_problem_;
    std::map<Ipv4Prefix, Subnet> good_;
    std::map<std::string, KeyValue> waiting_;        // keys of subnets that are other keys' already
    std::map<std::string, ObjectWarning> warnings_;  // by key
};

// flannel's annotations of a node that is published so.
[[nodiscard]] std::map<std::string, std::string> annotations_of(const Subnet& subnet);
struct Published {
    std::optional<Ipv4Address> public_ip;
    std::optional<MacAddress> vtep_mac;
};
[[nodiscard]] Published read_annotations(const std::map<std::string, std::string>& annotations);

}  // namespace podlane::etcd
