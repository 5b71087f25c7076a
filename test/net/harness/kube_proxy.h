// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "maps/base/address.h"
#include "test/net/harness/node.h"
#include "test/net/harness/socket.h"

// Rules of a real kube-proxy (test/data/kube-proxy has them, and says how they were recorded), and IPVS as its mode of
// that name sets it up.
namespace podlane::net {

// How the rules get into the kernel.
enum class RuleForm : std::uint8_t { iptables_nft, iptables_legacy, nft, ipvs };
void PrintTo(RuleForm form, std::ostream* out);  // for googletest, with characters that a test's name may have

// The pods behind every Service.
struct Backends {
    Ipv4Address echo_1;
    Ipv4Address echo_2;
};
// Which of them is on the node, for externalTrafficPolicy Local.
enum class LocalBackend : std::uint8_t { none, echo_1, echo_2 };

// What kube-proxy on `node` would have made of these Services.
void load_kube_proxy_rules(const Node& node, RuleForm form, const Backends& backends, LocalBackend local);

// The policy of the FORWARD chain beside these rules becomes DROP, as Docker makes it.
void drop_by_policy(const Namespace& ns, RuleForm form);
// That chain, as the program lists it that the rules came by.
[[nodiscard]] std::string forward_rules(const Namespace& ns, RuleForm form);

// As kube-proxy would do it with a Service of every port: `from` becomes `to`; clients outside clusterCIDRs, and `to`
// itself, are masqueraded. A second call for the same `from` takes the first one's place.
void translate_all(const Namespace& ns, RuleForm form, Ipv4Address from, Ipv4Address to);

// Packets that KUBE-FORWARD dropped because conntrack took them for INVALID. In IPVS mode it does not.
[[nodiscard]] std::uint64_t invalid_drops(const Namespace& ns, RuleForm form);

// The Services. With RuleForm::nft there is `echo` only.
namespace service {
inline constexpr std::uint16_t backend_port = 8080;
inline constexpr std::uint16_t dns_backend_port = 8053;
inline constexpr std::uint16_t echo_node_port = 30080;
inline constexpr std::uint16_t local_node_port = 30082;
inline const SocketAddress echo{Ipv4Address::from_host(0x0a20000a), 80};
inline const SocketAddress sticky{Ipv4Address::from_host(0x0a20000b), 80};
inline const SocketAddress dns{Ipv4Address::from_host(0x0a20000d), 53};
inline const SocketAddress no_endpoints{Ipv4Address::from_host(0x0a20000e), 80};
inline const SocketAddress external_ip{Ipv4Address::from_host(0xc633640f), 80};
}  // namespace service

}  // namespace podlane::net
