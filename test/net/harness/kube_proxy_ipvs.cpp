// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/kube_proxy_ipvs.h"

#include <vector>

#include "test/net/harness/service.h"

namespace podlane::net {
namespace {

constexpr const char* device = "kube-ipvs0";

constexpr const char* iptables_rules =
    "*filter\n"
    ":KUBE-FIREWALL - [0:0]\n"
    ":KUBE-FORWARD - [0:0]\n"
    "-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n"
    "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 -j ACCEPT\n"
    "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack pod source rule\" "
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "-A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack pod destination rule\" "
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "COMMIT\n"
    "*nat\n"
    ":KUBE-FIREWALL - [0:0]\n"
    ":KUBE-LOAD-BALANCER - [0:0]\n"
    ":KUBE-MARK-DROP - [0:0]\n"
    ":KUBE-MARK-MASQ - [0:0]\n"
    ":KUBE-NODE-PORT - [0:0]\n"
    ":KUBE-POSTROUTING - [0:0]\n"
    ":KUBE-SERVICES - [0:0]\n"
    "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
    "-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
    "-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n"
    "-A KUBE-FIREWALL -j KUBE-MARK-DROP\n"
    "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ\n"
    "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n"
    "-A KUBE-NODE-PORT -p tcp -m comment --comment \"Kubernetes nodeport TCP port with externalTrafficPolicy=local\" "
    "-m set --match-set KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN\n"
    "-A KUBE-NODE-PORT -p tcp -m comment --comment \"Kubernetes nodeport TCP port for masquerade purpose\" "
    "-m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ\n"
    "-A KUBE-POSTROUTING -m comment --comment \"Kubernetes endpoints dst ip:port, source ip for solving hairpin "
    "purpose\" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE\n"
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
    "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n"
    "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE "
    "--random-fully\n"
    "-A KUBE-SERVICES ! -s 10.244.0.0/16 -m comment --comment \"Kubernetes service cluster ip + port for masquerade "
    "purpose\" -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ\n"
    "-A KUBE-SERVICES -m comment --comment \"Kubernetes service external ip + port for masquerade and filter "
    "purpose\" -m set --match-set KUBE-EXTERNAL-IP dst,dst -j KUBE-MARK-MASQ\n"
    "-A KUBE-SERVICES -m comment --comment \"Kubernetes service external ip + port for masquerade and filter "
    "purpose\" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL "
    "-j ACCEPT\n"
    "-A KUBE-SERVICES -m comment --comment \"Kubernetes service external ip + port for masquerade and filter "
    "purpose\" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL -j ACCEPT\n"
    "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT\n"
    "-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT\n"
    "COMMIT\n";

// What the sets and virtual servers are made of.
struct Content {
    std::string sets =
        "create KUBE-LOOP-BACK hash:ip,port,ip family inet\n"
        "create KUBE-CLUSTER-IP hash:ip,port family inet\n"
        "create KUBE-EXTERNAL-IP hash:ip,port family inet\n"
        "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535\n"
        "create KUBE-NODE-PORT-LOCAL-TCP bitmap:port range 0-65535\n";
    std::string servers;

    void add_server(const SocketAddress& at, Transport transport, std::string_view options,
                    const std::vector<SocketAddress>& behind) {
        const char* flag = transport == Transport::tcp ? "-t" : "-u";
        servers += fmt::format("-A {} {}:{} -s rr{}\n", flag, at.address, at.port, options);
        for (const auto& one : behind) {
            servers += fmt::format("-a {} {}:{} -r {}:{} -m -w 1\n", flag, at.address, at.port, one.address, one.port);
        }
    }
    void add_cluster_ip(const SocketAddress& at, Transport transport) {
        sets += fmt::format("add KUBE-CLUSTER-IP {},{}:{}\n", at.address, transport == Transport::tcp ? "tcp" : "udp",
                            at.port);
    }
};

std::vector<SocketAddress> on_node(const Backends& backends, LocalBackend local) {
    if (local == LocalBackend::none) {
        return {};
    }
    return {{local == LocalBackend::echo_1 ? backends.echo_1 : backends.echo_2, service::backend_port}};
}

Content content_for(const Node& node, const Backends& backends, LocalBackend local) {
    using namespace service;
    const std::vector<SocketAddress> both = {{backends.echo_1, backend_port}, {backends.echo_2, backend_port}};
    const std::vector<SocketAddress> both_dns = {{backends.echo_1, dns_backend_port},
                                                 {backends.echo_2, dns_backend_port}};
    Content content;
    content.add_server(echo, Transport::tcp, "", both);
    content.add_server(sticky, Transport::tcp, " -p 10800", both);
    content.add_server(dns, Transport::udp, "", both_dns);
    content.add_server(no_endpoints, Transport::tcp, "", {});
    content.add_server(external_ip, Transport::tcp, "", both);
    content.add_server({node.address(), echo_node_port}, Transport::tcp, "", both);
    content.add_server({node.address(), local_node_port}, Transport::tcp, "", on_node(backends, local));
    for (const auto& at : {echo, sticky, no_endpoints}) {
        content.add_cluster_ip(at, Transport::tcp);
    }
    content.add_cluster_ip(dns, Transport::udp);
    content.sets += fmt::format("add KUBE-EXTERNAL-IP {},tcp:{}\n", external_ip.address, external_ip.port);
    for (const auto port : {echo_node_port, local_node_port}) {
        content.sets += fmt::format("add KUBE-NODE-PORT-TCP {}\n", port);
    }
    content.sets += fmt::format("add KUBE-NODE-PORT-LOCAL-TCP {}\n", local_node_port);
    for (const auto& one : on_node(backends, local)) {
        content.sets += fmt::format("add KUBE-LOOP-BACK {0},tcp:{1},{0}\n", one.address, backend_port);
        content.sets += fmt::format("add KUBE-LOOP-BACK {0},udp:{1},{0}\n", one.address, dns_backend_port);
    }
    return content;
}

void feed(const Node& node, const std::vector<std::string>& command, const std::string& input) {
    RunOptions options;
    options.input = input;
    must_run(node.ns(), command, options);
}

}  // namespace

std::string why_no_ipvs(const Namespace& ns) {
    return run(ns, {"ipvsadm", "-L", "-n"}).ok() ? "" : "ipvsadm finds no IPVS in this kernel";
}

void load_ipvs(const Node& node, const Backends& backends, LocalBackend local) {
    const auto content = content_for(node, backends, local);
    feed(node, {"ipvsadm", "-R"}, content.servers);
    for (const auto& [key, value] : {std::pair{"conntrack", "1"},
                                     {"conn_reuse_mode", "0"},
                                     {"expire_nodest_conn", "1"},
                                     {"expire_quiescent_template", "1"}}) {
        set_sysctl(node.ns(), fmt::format("net/ipv4/vs/{}", key), value);
    }
    // It stays down: addresses of a device that is down are local all the same.
    ip(node.ns(), fmt::format("link add {} type dummy", device));
    for (const auto& at : {service::echo, service::sticky, service::dns, service::no_endpoints, service::external_ip}) {
        ip(node.ns(), fmt::format("address add {}/32 dev {}", at.address, device));
    }
    feed(node, {"ipset", "restore"}, content.sets);
    feed(node, {"iptables-nft-restore", "-w"}, iptables_rules);
}

}  // namespace podlane::net
