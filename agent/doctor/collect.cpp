// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/collect.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/doctor/checks.h"
#include "agent/link/ownership.h"
#include "agent/netfilter/ruleset_readers.h"
#include "agent/netlink/link.h"
#include "agent/netlink/resolve.h"
#include "agent/reconcile/sysctl.h"
#include "maps/base/fd.h"

namespace podlane::doctor {
namespace {

struct Address {
    std::uint32_t ifindex = 0;
    Ipv4Address address{};
    std::uint8_t prefix_length = 0;
    bool lasting = false;  // without a lifetime, as a DHCP lease has
};

std::optional<Address> decode_global_address(const nlmsghdr& message) {
    const auto* header = netlink::header_of<ifaddrmsg>(message);
    if (message.nlmsg_type != RTM_NEWADDR || header == nullptr || header->ifa_family != AF_INET ||
        header->ifa_scope != RT_SCOPE_UNIVERSE) {
        return std::nullopt;
    }
    const netlink::Attributes attributes(message, sizeof(ifaddrmsg));
    const auto flags = attributes.u32(IFA_FLAGS).value_or(header->ifa_flags);
    return attributes.address(IFA_LOCAL).transform([&](Ipv4Address address) {
        return Address{header->ifa_index, address, header->ifa_prefixlen, (flags & IFA_F_PERMANENT) != 0};
    });
}

unsigned rp_filter_of(const std::string& device) {
    const auto text = read_sysctl(fmt::format("net/ipv4/conf/{}/rp_filter", device));
    return text && !text->empty() && text->front() >= '0' && text->front() <= '9'
               ? static_cast<unsigned>(text->front() - '0')
               : 0;
}

class Collector {
public:
    Collector(netlink::Socket& socket, const Config& config) : socket_(socket) { facts_.config = config; }

    Facts everything(Probing probing) {
        read_tables();
        read_network(read_pods());
        look_into_pods();
        facts_.dhcp_clients = find_dhcp_clients(facts_.macvlans);
        if (probing == Probing::on) {
            probe_lans();
        }
        return std::move(facts_);
    }
    Facts without_tables(std::vector<Endpoint> pods) {
        read_network(std::move(pods));
        return std::move(facts_);
    }

private:
    void read_network(std::vector<Endpoint> pods) {
        take(netlink::list_links(socket_), links_);
        ifaddrmsg header{};
        header.ifa_family = AF_INET;
        take(socket_.dump(netlink::Message(RTM_GETADDR, 0, header, "list addresses"), &decode_global_address),
             addresses_);
        take(netlink::list_routes(socket_, {.protocol = 0, .table = RT_TABLE_MAIN, .oif = 0}), routes_);
        find_underlay();
        for (const auto& settings : facts_.config.macvlan) {
            facts_.macvlans.push_back(macvlan_facts(settings, pods));
        }
        look_at_reverse_paths();
        std::erase_if(pods, [](const Endpoint& pod) { return pod.link != "veth"; });
        facts_.veth_pods = std::move(pods);
    }

    template <typename T>
    void take(Result<std::vector<T>> result, std::vector<T>& into) {
        if (result) {
            std::ranges::move(*result, std::back_inserter(into));
        } else {
            facts_.gaps.push_back(result.error().message);
        }
    }
    [[nodiscard]] const netlink::Link* link_of(const std::string& name) const {
        const auto found = std::ranges::find(links_, name, &netlink::Link::name);
        return found == links_.end() ? nullptr : &*found;
    }
    [[nodiscard]] std::string name_of(std::uint32_t ifindex) const {
        const auto found = std::ranges::find(links_, ifindex, &netlink::Link::ifindex);
        return found == links_.end() ? "" : found->name;
    }

    // The configured one, or the one that has the overlay device's address too, which is the node's.
    void find_underlay() {
        const auto& overlay = facts_.config.overlay.device;
        const auto& configured = facts_.config.underlay.device;
        const auto own = std::ranges::find_if(
            addresses_, [&](const Address& address) { return name_of(address.ifindex) == overlay; });
        for (const auto& address : addresses_) {
            const auto device = name_of(address.ifindex);
            const bool has_nodes_address = own != addresses_.end() && address.address == own->address;
            if (device != overlay && (configured.empty() ? has_nodes_address : device == configured)) {
                facts_.underlay =
                    UnderlayFacts{device, address.address, Ipv4Prefix::masked(address.address, address.prefix_length)};
                return;
            }
        }
    }

    void read_tables() {
        take(netfilter::read_legacy_tables(), facts_.tables);
        auto socket = netlink::Socket::open(NETLINK_NETFILTER);
        if (socket) {
            take(netfilter::read_nft_tables(*socket), facts_.tables);
        } else if (socket.error().code != EPROTONOSUPPORT) {
            facts_.gaps.push_back(socket.error().message);
        }
        for (const auto& table : facts_.tables) {
            if (table.name == "firewalld") {
                facts_.firewalld = Firewalld{fmt::format("table {} firewalld of nf_tables", table.family)};
            }
        }
        int pid = 0;
        std::error_code error;
        if (!facts_.firewalld && std::ifstream("/run/firewalld.pid") >> pid) {
            const auto theirs = std::filesystem::read_symlink(fmt::format("/proc/{}/ns/net", pid), error);
            if (!error && theirs == std::filesystem::read_symlink("/proc/thread-self/ns/net", error)) {
                facts_.firewalld = Firewalld{fmt::format("/run/firewalld.pid: process {}", pid)};
            }
        }
    }

    // The agent's records; it may be away.
    std::vector<Endpoint> read_pods() {
        std::vector<Endpoint> pods;
        const auto directory = std::filesystem::path(facts_.config.run_dir) / "endpoints";
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
            if (entry.path().extension() != ".json") {
                continue;
            }
            std::ifstream file(entry.path());
            const std::string text{std::istreambuf_iterator<char>(file), {}};
            auto pod = Endpoint::parse(text);
            if (pod) {
                pods.push_back(std::move(*pod));
            } else if (std::filesystem::exists(entry.path())) {
                facts_.gaps.push_back(fmt::format("{}: {}", entry.path().string(), pod.error().message));
            }
        }
        if (error && error != std::errc::no_such_file_or_directory) {
            facts_.gaps.push_back(fmt::format("read {}: {}", directory.string(), error.message()));
        }
        return pods;
    }

    MacvlanFacts macvlan_facts(const MacvlanConfig& settings, const std::vector<Endpoint>& pods) {
        MacvlanFacts facts{.settings = settings};
        if (const auto* master = link_of(settings.master)) {
            facts.master_ifindex = master->ifindex;
        }
        if (const auto* shim = link_of(settings.shim); shim != nullptr && shim->alias.starts_with(shim_alias)) {
            facts.shim_ifindex = shim->ifindex;
        }
        find_host_address(facts);
        for (const auto& pod : pods) {
            if (pod.link == "macvlan" && pod.mode == "bridge" && pod.master == settings.master) {
                facts.pods.push_back(pod);
                if (!facts.gateway && !pod.gateway.is_unspecified()) {
                    facts.gateway = pod.gateway;
                }
            }
        }
        return facts;
    }
    // On the master, or moved to the shim.
    void find_host_address(MacvlanFacts& facts) {
        for (const auto ifindex : {facts.master_ifindex, facts.shim_ifindex}) {
            const auto found = std::ranges::find(addresses_, ifindex, &Address::ifindex);
            if (ifindex == 0 || found == addresses_.end()) {
                continue;
            }
            facts.host_address = found->address;
            facts.lan = Ipv4Prefix::masked(found->address, found->prefix_length);
            if (!found->lasting && ifindex == facts.master_ifindex) {
                facts.dynamic_length = found->prefix_length;
            }
            break;
        }
        for (const auto& route : routes_) {
            const bool ours = route.oif != 0 && (route.oif == facts.master_ifindex || route.oif == facts.shim_ifindex);
            if (ours && route.destination.length() == 0 && route.gateway) {
                facts.gateway = route.gateway;
            }
        }
    }

    void look_at_reverse_paths() {
        look_at_overlay();
        for (const auto& network : facts_.macvlans) {
            const auto& settings = network.settings;
            if (network.shim_ifindex != 0) {
                for (const auto& pod : network.pods) {
                    add_path(settings.shim, pod.ip, fmt::format("packets of macvlan pod {}", pod.ip));
                }
            }
            if (network.master_ifindex != 0 && network.lan && settings.host_address == HostAddress::keep) {
                const auto first = Ipv4Address::from_host(network.lan->address().host() + 1);
                const auto second = Ipv4Address::from_host(first.host() + 1);
                add_path(settings.master, network.gateway.value_or(first == network.host_address ? second : first),
                         fmt::format("packets of the LAN {}", *network.lan));
            }
        }
    }
    // A peer sends by VXLAN until it has its own proof, and again whenever that fails.
    void look_at_overlay() {
        const auto& overlay = facts_.config.overlay;
        if (overlay.mode == OverlayMode::host_gw || link_of(overlay.device) == nullptr) {
            return;
        }
        for (const auto& route : routes_) {
            const bool of_peer = route.type == RTN_UNICAST && route.protocol == route_protocol && route.gateway;
            if (of_peer && name_of(route.oif) != overlay.device) {
                add(overlay.device, fmt::format("packets of the peer's pods {} that come by VXLAN", route.destination),
                    name_of(route.oif));
            }
        }
    }
    void add_path(const std::string& device, Ipv4Address source, std::string whose) {
        const auto route = netlink::resolve(socket_, source, 0);
        if (route || netlink::is_verdict(route.error())) {
            add(device, std::move(whose), route ? name_of(route->oif) : "");
        } else {
            facts_.gaps.push_back(route.error().message);
        }
    }
    void add(const std::string& device, std::string whose, std::string way_back) {
        facts_.reverse_paths.push_back({.device = device,
                                        .all = rp_filter_of("all"),
                                        .own = rp_filter_of(device),
                                        .source = std::move(whose),
                                        .way_back = std::move(way_back)});
    }

    void look_into_pods() {
        for (const auto& network : facts_.macvlans) {
            for (const auto& pod : network.pods) {
                if (network.host_address && !pod.netns.empty()) {
                    look_into(network, pod);
                }
            }
        }
    }
    void look_into(const MacvlanFacts& network, const Endpoint& pod) {
        const Fd target(::open(pod.netns.c_str(), O_RDONLY | O_CLOEXEC));
        if (!target.valid() && errno == ENOENT) {
            return;  // the pod is gone, and its record goes with the agent's next look
        }
        if (!target.valid()) {
            facts_.gaps.push_back(fmt::format("open {}: {}", pod.netns, std::strerror(errno)));
            return;
        }
        auto socket = netlink::Socket::open_in(target.get());
        auto routes = socket ? netlink::list_routes(*socket, {.protocol = 0, .table = RT_TABLE_MAIN, .oif = 0})
                             : Result<std::vector<netlink::Route>>(std::unexpected(socket.error()));
        if (!routes) {
            facts_.gaps.push_back(fmt::format("routes in {}: {}", pod.netns, routes.error().message));
            return;
        }
        facts_.pod_routes.push_back({.pod = pod,
                                     .host_address = *network.host_address,
                                     .wanted = wanted_routes(network),
                                     .routes = std::move(*routes)});
    }
    [[nodiscard]] std::vector<Ipv4Prefix> wanted_routes(const MacvlanFacts& network) const {
        auto wanted = facts_.config.cluster_cidrs;
        const auto& own = network.settings.service_cidrs;
        const auto& services = own.empty() ? facts_.config.service_cidrs : own;
        wanted.insert(wanted.end(), services.begin(), services.end());
        if (services.empty()) {
            if (const auto network_of_services = service_network(kube_proxy_rules(facts_.tables))) {
                wanted.push_back(*network_of_services);
            }
        }
        return wanted;
    }

    void probe_lans() {
        facts_.probes.emplace();
        for (const auto& network : facts_.macvlans) {
            const auto* master = link_of(network.settings.master);
            if (master == nullptr || !master->mac || !network.gateway) {
                facts_.gaps.push_back(fmt::format("ARP probe on {}: {}", network.settings.master,
                                                  master == nullptr ? "it is not there" : "no gateway is known there"));
                continue;
            }
            auto probe = probe_lan(network, *network.gateway, *master->mac);
            if (probe) {
                facts_.probes->push_back(*probe);
            } else {
                facts_.gaps.push_back(probe.error().message);
            }
        }
    }

    netlink::Socket& socket_;
    Facts facts_;
    std::vector<netlink::Link> links_;
    std::vector<Address> addresses_;
    std::vector<netlink::Route> routes_;
};

}  // namespace

Facts collect(const Config& config, Probing probing) {
    auto socket = netlink::Socket::open();
    if (!socket) {
        return {.config = config, .gaps = {socket.error().message}};
    }
    return Collector(*socket, config).everything(probing);
}

Result<Watch> Watch::open(Config config) {
    auto route = netlink::Socket::open();
    if (!route) {
        return std::unexpected(route.error());
    }
    auto filter = netlink::Socket::open(NETLINK_NETFILTER);
    return Watch(std::move(config), std::move(*route), filter ? std::optional(std::move(*filter)) : std::nullopt);
}

Result<std::vector<netfilter::Table>> Watch::tables() {
    auto tables = netfilter::read_legacy_tables(netfilter::Tables::filtering);
    if (!tables || !filter_) {
        return tables;
    }
    const auto generation = netfilter::nft_generation(*filter_);
    if (!generation || generation != generation_) {
        auto read = netfilter::read_nft_tables(*filter_, netfilter::Tables::filtering);
        if (!read) {
            return read;
        }
        nft_tables_ = std::move(*read);
        generation_ = generation;
    }
    tables->insert(tables->end(), nft_tables_.begin(), nft_tables_.end());
    return tables;
}

Facts Watch::look(std::vector<Endpoint> pods) {
    auto facts = Collector(route_, config_).without_tables(std::move(pods));
    if (auto read = tables()) {
        facts.tables = std::move(*read);
    } else {
        facts.gaps.push_back(read.error().message);
    }
    return facts;
}

}  // namespace podlane::doctor
