// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/kube_proxy.h"

#include <fstream>
#include <iterator>

#include "test/net/harness/error.h"
#include "test/net/harness/kube_proxy_ipvs.h"

namespace podlane::net {
namespace {

// Of the chain for externalTrafficPolicy Local, as it was recorded: echo-1 was on that node.
constexpr const char* balancing = "\"Balancing rule 0 for default/echo-local:http\" -j KUBE-SEP-NZYDFNNP4LZW7XZY";
constexpr const char* balancing_to_echo_2 =
    "\"Balancing rule 0 for default/echo-local:http\" -j KUBE-SEP-SCOUNCNJSQ5OQ62P";
constexpr const char* no_local_backend = "\"default/echo-local:http has no local endpoints\" -j KUBE-MARK-DROP";

std::string recorded(RuleForm form) {
    const char* name = form == RuleForm::iptables_nft      ? "iptables-save-all.txt"
                       : form == RuleForm::iptables_legacy ? "iptables-save-legacy-all.txt"
                                                           : "nft-list-ruleset.txt";
    std::ifstream file(std::string(PODLANE_TEST_DATA "/kube-proxy/") + name);
    if (!file) {
        raise_error("there is no {}/kube-proxy/{}", PODLANE_TEST_DATA, name);
    }
    return {std::istreambuf_iterator<char>(file), {}};
}

void replace_all(std::string& text, std::string_view what, const std::string& by) {
    std::size_t count = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
        text.replace(at, what.size(), by);
        ++count;
    }
    if (count == 0) {
        raise_error("the recorded rules have no {}", what);
    }
}

std::string iptables_of(RuleForm form) {
    return form == RuleForm::iptables_legacy ? "iptables-legacy" : "iptables-nft";
}

}  // namespace

void PrintTo(RuleForm form, std::ostream* out) {
    switch (form) {
        case RuleForm::iptables_nft:
            *out << "nft";
            return;
        case RuleForm::iptables_legacy:
            *out << "legacy";
            return;
        case RuleForm::nft:
            *out << "ruleset";
            return;
        case RuleForm::ipvs:
            *out << "ipvs";
            return;
    }
}

void drop_by_policy(const Namespace& ns, RuleForm form) {
    if (form == RuleForm::nft) {
        must_run(ns, {"nft", "chain", "ip", "filter", "FORWARD", "{ policy drop; }"});
    } else {
        must_run(ns, {iptables_of(form), "-w", "-P", "FORWARD", "DROP"});
    }
}

std::string forward_rules(const Namespace& ns, RuleForm form) {
    return form == RuleForm::nft ? must_run(ns, {"nft", "list", "chain", "ip", "filter", "FORWARD"})
                                 : must_run(ns, {iptables_of(form), "-w", "-S", "FORWARD"});
}

std::uint64_t invalid_drops(const Namespace& ns, RuleForm form) {
    if (form == RuleForm::ipvs) {
        return 0;
    }
    const bool nft = form == RuleForm::nft;
    const auto listed = nft ? must_run(ns, {"nft", "list", "chain", "ip", "filter", "KUBE-FORWARD"})
                            : must_run(ns, {iptables_of(form), "-w", "-v", "-S", "KUBE-FORWARD"});
    const std::string_view before = nft ? "ct state invalid counter packets " : "--ctstate INVALID -c ";
    const auto at = listed.find(before);
    if (at == std::string::npos) {
        raise_error("no rule for INVALID: {}", listed);
    }
    return std::stoull(listed.substr(at + before.size()));
}

void translate_all(const Namespace& ns, RuleForm form, Ipv4Address from, Ipv4Address to) {
    RunOptions rules;
    if (form == RuleForm::nft) {
        rules.input = fmt::format(
            "add chain ip nat ALL-PORTS\nflush chain ip nat ALL-PORTS\n"
            "add rule ip nat ALL-PORTS ip daddr {0} ip saddr != 10.244.0.0/16 jump KUBE-MARK-MASQ\n"
            "add rule ip nat ALL-PORTS ip daddr {0} ip saddr {1} jump KUBE-MARK-MASQ\n"
            "add rule ip nat ALL-PORTS ip daddr {0} dnat to {1}\n"
            "insert rule ip nat PREROUTING jump ALL-PORTS\ninsert rule ip nat OUTPUT jump ALL-PORTS\n",
            from, to);
        must_run(ns, {"nft", "-f", "-"}, rules);
        return;
    }
    rules.input = fmt::format(
        "*nat\n:ALL-PORTS - [0:0]\n"
        "-A ALL-PORTS -d {0} ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ\n"
        "-A ALL-PORTS -d {0} -s {1} -j KUBE-MARK-MASQ\n"
        "-A ALL-PORTS -d {0} -j DNAT --to-destination {1}\n"
        "-I PREROUTING -j ALL-PORTS\n-I OUTPUT -j ALL-PORTS\nCOMMIT\n",
        from, to);
    must_run(ns, {iptables_of(form) + "-restore", "-w", "--noflush"}, rules);
}

void load_kube_proxy_rules(const Node& node, RuleForm form, const Backends& backends, LocalBackend local) {
    if (form == RuleForm::ipvs) {
        load_ipvs(node, backends, local);
        return;
    }
    RunOptions rules;
    rules.input = recorded(form);
    replace_all(rules.input, "10.244.0.21", backends.echo_1.to_string());
    replace_all(rules.input, "10.244.1.21", backends.echo_2.to_string());
    set_sysctl(node.ns(), "net/ipv4/conf/all/route_localnet", "1");  // as kube-proxy does
    if (form == RuleForm::nft) {
        must_run(node.ns(), {"nft", "-f", "-"}, rules);
        return;
    }
    if (local != LocalBackend::echo_1) {
        replace_all(rules.input, balancing, local == LocalBackend::echo_2 ? balancing_to_echo_2 : no_local_backend);
    }
    must_run(node.ns(), {iptables_of(form) + "-restore", "-w"}, rules);
}

}  // namespace podlane::net
