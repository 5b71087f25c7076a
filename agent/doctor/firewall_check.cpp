// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/ranges.h>

#include "agent/doctor/checks.h"
#include "agent/doctor/packet_filter.h"
#include "agent/doctor/pod_traffic.h"
#include "agent/netfilter/forward_rule.h"

namespace podlane::doctor {
namespace {

using netfilter::Dialect;
using netfilter::Table;

constexpr std::string_view firewalld_table = "firewalld";

// What meets one refusing rule or policy.
struct Refused {
    const Table* table = nullptr;
    const netfilter::Chain* base = nullptr;
    Refusal refusal{};
    std::vector<const Traffic*> traffic{};
};

// kube-proxy's own: what they refuse has no backend, or is no connection.
bool is_kube_proxys(const Table& table, const netfilter::Chain& chain) {
    return table.name == "kube-proxy" || chain.name.starts_with("KUBE-");
}

std::vector<Refused> refusals(const Facts& facts, const std::vector<Traffic>& traffic) {
    using Place = std::tuple<const netfilter::Chain*, const netfilter::Rule*, Refusal::Certainty>;
    std::map<Place, std::size_t> places;
    std::vector<Refused> refused;
    for (const auto& table : facts.tables) {
        for (const auto& chain : table.chains) {
            for (const auto& one : traffic) {
                if (table.name == "nat" || !chain.base || chain.base->hook != one.hook) {
                    continue;
                }
                const auto refusal = refusal_of(table, chain, one);
                if (!refusal || is_kube_proxys(table, *refusal->chain)) {
                    continue;
                }
                const auto [place, first] =
                    places.try_emplace({refusal->chain, refusal->rule, refusal->certainty}, refused.size());
                if (first) {
                    refused.push_back({&table, &chain, *refusal});
                }
                refused[place->second].traffic.push_back(&one);
            }
        }
    }
    return refused;
}

std::string place_of(const Table& table, const netfilter::Chain& chain, const netfilter::Rule& rule) {
    const auto text = netfilter::to_string(table, chain, rule);
    switch (table.dialect) {
        case Dialect::iptables_legacy:
            return fmt::format("iptables-legacy, rule {} of {}: {}", rule.number, chain.name, text);
        case Dialect::iptables_nft:
            return fmt::format("iptables-nft, rule {} of {}: {}", rule.number, chain.name, text);
        case Dialect::nft:
            break;
    }
    return fmt::format("nft, table {} {}, chain {}, handle {}: {}", table.family, table.name, chain.name, rule.handle,
                       text);
}

std::string evidence_of(const Refused& refused) {
    const auto& [chain, rule, certainty, doubt_chain, doubt] = refused.refusal;
    std::string text;
    if (rule != nullptr) {
        text = place_of(*refused.table, *chain, *rule);
    } else if (refused.table->dialect == Dialect::nft) {
        text = fmt::format("nft, table {} {}, chain {}: policy drop", refused.table->family, refused.table->name,
                           chain->name);
    } else {
        const auto program = netfilter::program_of(refused.table->dialect);
        text = fmt::format("{}: -P {} DROP", program.substr(0, program.find(' ')), chain->name);
    }
    if (rule == nullptr) {
        text += ", and no rule before it accepts them";
    }
    if (doubt != nullptr) {
        text += fmt::format("; whether this one accepts them is not known: {}",
                            place_of(*refused.table, *doubt_chain, *doubt));
    }
    return text;
}

std::string accepting_match(const Traffic& traffic, Dialect dialect) {
    std::vector<std::string> words;
    const bool nft = dialect == Dialect::nft;
    const auto add = [&](const char* iptables, const char* nft_word, const auto& value, const char* quote) {
        if (value) {
            words.push_back(nft ? fmt::format("{0} {1}{2}{1}", nft_word, quote, *value)
                                : fmt::format("{} {}", iptables, *value));
        }
    };
    add("-s", "ip saddr", traffic.accept_source, "");
    add("-d", "ip daddr", traffic.accept_destination, "");
    add("-i", "iifname", traffic.accept_in, "\"");
    add("-o", "oifname", traffic.accept_out, "\"");
    if (traffic.port) {
        const auto protocol = netfilter::protocol_name(traffic.port->protocol);
        words.push_back(nft ? fmt::format("{} dport {}", protocol, traffic.port->number)
                            : fmt::format("-p {} --dport {}", protocol, traffic.port->number));
    }
    return fmt::format("{}", fmt::join(words, " "));
}

// An accepting rule just in front of what refuses: whatever somebody refuses or accepts before it stays so.
std::string accepting_rule(const Refused& refused, const std::string& match) {
    const auto& table = *refused.table;
    const auto& chain = refused.refusal.chain->name;
    const auto* rule = refused.refusal.rule;
    if (table.dialect == Dialect::nft) {
        return rule == nullptr
                   ? fmt::format("nft add rule {} {} {} '{} accept'", table.family, table.name, chain, match)
                   : fmt::format("nft insert rule {} {} {} handle {} '{} accept'", table.family, table.name, chain,
                                 rule->handle, match);
    }
    const auto program = netfilter::program_of(table.dialect);
    return rule == nullptr ? fmt::format("{} -A {} {} -j ACCEPT", program, chain, match)
                           : fmt::format("{} -I {} {} {} -j ACCEPT", program, chain, rule->number, match);
}

std::string join_commands(const std::vector<std::string>& commands) {
    return fmt::format("{}", fmt::join(commands, " && "));
}

// Zone "trusted" accepts all. A shim is in no zone before, podlane0 and pods' devices neither.
std::string firewalld_commands(const Facts& facts, const Refused& refused) {
    std::vector<std::string> words;
    words.reserve(facts.macvlans.size() + 1 + facts.config.cluster_cidrs.size());
    for (const auto& network : facts.macvlans) {
        words.push_back(fmt::format("--add-interface={}", network.settings.shim));
    }
    words.push_back(fmt::format("--add-interface={}", facts.config.overlay.device));
    for (const auto& prefix : facts.config.cluster_cidrs) {
        words.push_back(fmt::format("--add-source={}", prefix));
    }
    std::vector<std::string> commands;
    commands.reserve(words.size());
    for (const auto& word : words) {
        commands.push_back(fmt::format("firewall-cmd --permanent --zone=trusted {}", word));
    }
    for (const auto* traffic : refused.traffic) {  // by a device that has a zone: its port there
        if (traffic->port) {
            commands.push_back(fmt::format("firewall-cmd --permanent --add-port={}/{}", traffic->port->number,
                                           netfilter::protocol_name(traffic->port->protocol)));
        }
    }
    commands.emplace_back("firewall-cmd --reload");
    return join_commands(commands);
}

bool is_firewallds(const Facts& facts, const Refused& refused) {
    const auto& table = *refused.table;
    const bool its_iptables = table.dialect != Dialect::nft && table.find("INPUT_ZONES") != nullptr;
    return table.name == firewalld_table || (facts.firewalld && its_iptables);
}

// What the agent itself appends its rules for: chain FORWARD of table filter, policy DROP (netfilter/forward_rule.h).
bool agent_accepts(const Refused& refused) {
    const auto& table = *refused.table;
    return refused.refusal.rule == nullptr && table.family == "ip" && table.name == forward_table &&
           refused.base->name == forward_chain;
}

std::string mend_of(const Facts& facts, const Refused& refused) {
    if (is_firewallds(facts, refused)) {
        return firewalld_commands(facts, refused);
    }
    std::vector<std::string> commands;
    for (const auto* traffic : refused.traffic) {
        auto command = accepting_rule(refused, accepting_match(*traffic, refused.table->dialect));
        if (std::ranges::find(commands, command) == commands.end()) {
            commands.push_back(std::move(command));
        }
    }
    const auto joined = join_commands(commands);
    return agent_accepts(refused) ? joined + "  # or start podlane-agent, which does it and takes it back" : joined;
}

// The first few: a node has many pods.
std::string names_of(const std::vector<const Traffic*>& traffic) {
    constexpr std::size_t shown = 3;
    std::vector<std::string> names;
    for (const auto* one : traffic) {
        if (std::ranges::find(names, one->what) == names.end()) {
            names.push_back(one->what);
        }
    }
    const auto more = names.size() > shown ? fmt::format(", and {} more", names.size() - shown) : "";
    names.resize(std::min(names.size(), shown));
    return fmt::format("{}{}", fmt::join(names, ", "), more);
}

Finding finding_of(const Facts& facts, const Refused& refused) {
    const bool firewalld = is_firewallds(facts, refused);
    const auto certainty = refused.refusal.certainty;
    const bool perhaps = certainty == Refusal::Certainty::perhaps;
    const auto* verb = certainty == Refusal::Certainty::sure ? "refuses" : "may refuse";
    const auto* hook = refused.base->base->hook == netfilter::Hook::input ? "INPUT" : "FORWARD";
    const auto names = names_of(refused.traffic);
    auto what = firewalld ? fmt::format("firewalld {} in {}: {}", verb, hook, names)
                          : fmt::format("a packet filter {} in {}: {}", verb, hook, names);
    return {.id = firewalld ? "firewalld" : "firewall",
            .severity = perhaps                                 ? Severity::note
                        : certainty == Refusal::Certainty::sure ? Severity::problem
                                                                : Severity::warning,
            .what = std::move(what),
            .evidence =
                perhaps ? evidence_of(refused) + "; what it asks for is not known to podlane" : evidence_of(refused),
            .mend = perhaps ? "" : mend_of(facts, refused)};
}

}  // namespace

std::vector<Finding> check_firewall(const Facts& facts) {
    std::vector<Finding> findings;
    const auto traffic = pod_traffic(facts);
    for (const auto& refused : refusals(facts, traffic)) {
        findings.push_back(finding_of(facts, refused));
    }
    if (facts.firewalld && std::ranges::find(findings, "firewalld", &Finding::id) == findings.end()) {
        findings.push_back({.id = "firewalld",
                            .severity = Severity::note,
                            .what = "firewalld is active, and lets pass what pods send",
                            .evidence = facts.firewalld->evidence});
    }
    return findings;
}

}  // namespace podlane::doctor
