// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/doctor/facts.h"
#include "agent/doctor/finding.h"

// What is wrong, by the facts. Pure, one function a check; each says in `id` which it is.
namespace podlane::doctor {

// "firewall", "firewalld": a packet filter's rule or policy that refuses what pods send to this host or through it.
[[nodiscard]] std::vector<Finding> check_firewall(const Facts& facts);
// "rp-filter": strict reverse path filtering where packets come in by another device than the way back has.
[[nodiscard]] std::vector<Finding> check_reverse_paths(const Facts& facts);
// "foreign-macs": a switch port or hypervisor that drops frames of MACs that are not the NIC's own.
[[nodiscard]] std::vector<Finding> check_foreign_macs(const Facts& facts);
// "dhcp": a second client for the host's address.
[[nodiscard]] std::vector<Finding> check_dhcp(const Facts& facts);
// "pod-routes": a macvlan pod whose packets to Services or other nodes' pods do not go through its host.
[[nodiscard]] std::vector<Finding> check_pod_routes(const Facts& facts);
// "kube-proxy": its cluster CIDR against clusterCIDRs.
[[nodiscard]] std::vector<Finding> check_kube_proxy(const Facts& facts);

// All of them, problems first, and what could not be looked at.
[[nodiscard]] std::vector<Finding> check_all(const Facts& facts);

// Problems that an agent tells of, by what Watch sees; no warnings and notes.
[[nodiscard]] std::vector<Finding> check_status(const Facts& facts);

// The cluster IPs that kube-proxy's rules of iptables serve, and the cluster CIDRs by which they tell pods.
struct KubeProxyRules {
    std::vector<Ipv4Prefix> cluster_cidrs{};
    std::vector<Ipv4Address> cluster_ips{};
    std::string example{};                  // a rule with a cluster CIDR, or of a Service without one
    bool services = false;                  // there are Services with backends
    std::vector<Ipv4Prefix> served{};       // addresses of Services with backends
    std::vector<Ipv4Prefix> masqueraded{};  // those that are so for every client: --masquerade-all, or external ones
};
[[nodiscard]] KubeProxyRules kube_proxy_rules(const std::vector<netfilter::Table>& tables);
// The smallest network that holds the cluster IPs, a /24 at least, for where the configuration has no serviceCIDRs.
// Nothing: there are none, or they have too little in common for one.
[[nodiscard]] std::optional<Ipv4Prefix> service_network(const KubeProxyRules& rules);

}  // namespace podlane::doctor
