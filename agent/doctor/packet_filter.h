// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/netfilter/ruleset.h"
#include "maps/base/address.h"

namespace podlane::doctor {

// New connections of one kind, untranslated.
struct Traffic {
    netfilter::Hook hook = netfilter::Hook::input;
    std::string in{};
    std::string out{};  // empty for input
    Ipv4Prefix source{};
    Ipv4Prefix destination{};
    struct Port {
        std::uint8_t protocol = 0;  // IPPROTO_*
        std::uint16_t number = 0;
    };
    std::optional<Port> port{};  // nothing: of any protocol, to any port
    std::string what{};          // "macvlan pod 172.20.7.51 to this host"

    // What a rule says that accepts all of its kind.
    std::optional<std::string> accept_in{};
    std::optional<std::string> accept_out{};
    std::optional<Ipv4Prefix> accept_source{};
    std::optional<Ipv4Prefix> accept_destination{};
};

// Where a packet filter refuses it, or may.
struct Refusal {
    const netfilter::Chain* chain = nullptr;
    const netfilter::Rule* rule = nullptr;  // null: the chain's policy
    enum class Certainty : std::uint8_t {
        sure,
        unless_accepted,  // `doubt` may accept it before: what that says is not known
        perhaps,          // `rule` may refuse it: what it says is not known
    } certainty = Certainty::sure;
    const netfilter::Chain* doubt_chain = nullptr;
    const netfilter::Rule* doubt = nullptr;
};

// Pure. The first refusal that all packets of `traffic` meet from the base chain `base` on, but for what narrower rules
// accept; nothing when an accepting rule or the policy lets all of them through. Rules that refuse only some of them
// (a port, a state) are somebody's intention and no refusal. Pointers are into `table`.
[[nodiscard]] std::optional<Refusal> refusal_of(const netfilter::Table& table, const netfilter::Chain& base,
                                                const Traffic& traffic);

}  // namespace podlane::doctor
