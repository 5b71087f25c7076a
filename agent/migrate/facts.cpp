// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/facts.h"

#include <linux/neighbour.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>

#include <nlohmann/json.hpp>

#include "agent/files.h"
#include "agent/link/flannel_device.h"
#include "agent/migrate/echo.h"
#include "agent/migrate/processes.h"
#include "agent/netlink/fdb.h"
#include "agent/netlink/link.h"
#include "loader/bpffs.h"
#include "maps/typed_map.h"

namespace podlane::migrate {
namespace {

using Json = nlohmann::json;

// As flannel names it in the ConfigMap that its manifest has.
constexpr const char* usual_network_name = "cbr0";
// host-local's own, which flannel's plugin leaves as it is.
constexpr const char* usual_store = "/var/lib/cni/networks";

// By VNI and port; or else one of flannel's names, so that plan can tell what differs.
std::string find_device(const std::vector<netlink::Link>& links, const OverlayConfig& overlay) {
    for (const auto& link : links) {
        if (is_flannel_device(link, overlay.vni, overlay.port)) {
            return link.name;
        }
    }
    const auto named = std::ranges::find_if(
        links, [](const auto& link) { return is_plain_vxlan(link) && link.name.starts_with("flannel."); });
    return named == links.end() ? "" : named->name;
}

std::string text_of(const Json& object, const char* name) {
    const auto found = object.is_object() ? object.find(name) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Json member_of(const Json& object, const char* name) {
    return object.is_object() ? object.value(name, Json()) : Json();
}

// Empty for other plugins.
std::string store_of(const Json& plugin) {
    const auto type = text_of(plugin, "type");
    const bool is_ours = type == "podlane";
    if (!is_ours && type != "flannel") {
        return {};
    }
    const auto ipam = member_of(is_ours ? plugin : member_of(plugin, "delegate"), "ipam");
    if (is_ours && ipam.is_null()) {
        const auto own = text_of(plugin, "runDir");
        return (own.empty() ? "/run/podlane" : own) + "/ipam";
    }
    const auto given = text_of(ipam, "dataDir");
    return given.empty() ? usual_store : given;
}

std::optional<CniFile> parse_cni_file(const std::filesystem::path& path, std::string_view text) {
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return std::nullopt;
    }
    CniFile file{.path = path, .network = text_of(json, "name"), .plugins = {}, .store = {}};
    const auto take = [&](const Json& plugin) {
        file.plugins.push_back(text_of(plugin, "type"));
        if (file.store.empty()) {
            file.store = store_of(plugin);
        }
    };
    if (const auto plugins = member_of(json, "plugins"); plugins.is_array()) {
        std::ranges::for_each(plugins, take);
    } else {
        take(json);
    }
    return file;
}

class Collector {
public:
    Collector(const Config& config, const Place& place) : place_(place) {
        facts_.config = config;
        facts_.record_file = place.record.string();
        facts_.bridge_name = place.bridge;
    }

    Facts run(Probe probe) {
        read_agent();
        read_record_file();
        if (auto socket = netlink::Socket::open()) {
            read_kernel(*socket);
        } else {
            facts_.gaps.push_back(socket.error().message);
        }
        take(netfilter::read_flannel_rules(), facts_.rules);
        read_flannel_files();
        facts_.cni = read_cni_files(place_, cni_directory(), facts_.gaps);
        read_results();
        read_processes();
        read_map();
        if (probe == Probe::peers) {
            ask_peers();
        }
        return std::move(facts_);
    }

private:
    template <typename T, typename Into>
    void take(Result<T> result, Into& into) {
        if (result) {
            into = std::move(*result);
        } else {
            facts_.gaps.push_back(result.error().message);
        }
    }

    void read_agent() {
        auto view = ask_agent(client_of(place_));
        if (view) {
            facts_.agent = std::move(*view);
        } else {
            facts_.agent_problem = view.error().message;
        }
    }
    void read_record_file() { take(read_record(place_.record), facts_.record); }

    void read_kernel(netlink::Socket& socket) {
        std::vector<netlink::Link> links;
        take(netlink::list_links(socket), links);
        const auto& overlay = facts_.config.overlay;
        const auto device = place_.flannel_device.empty() ? find_device(links, overlay) : place_.flannel_device;
        if (!device.empty()) {
            take(read_flannel_network(socket, device), facts_.flannel);
        }
        if (facts_.flannel) {
            add_direct_routes(socket, *facts_.flannel);
        }
        for (const auto& link : links) {
            if (link.name == device) {
                facts_.flannel_is_up = link.is_up();
            }
            if (is_plain_vxlan(link) && link.vxlan->port == overlay.port && link.name != device) {
                facts_.port_sharers.push_back(link.name);
            }
        }
        const auto own = std::ranges::find(links, overlay.device, &netlink::Link::name);
        if (own != links.end() && own->vxlan && own->vxlan->external) {
            facts_.overlay_mac = own->mac;
        }
        take(read_bridge(socket, place_.bridge), facts_.bridge);
        if (facts_.bridge) {
            read_learned(socket);
        }
    }
    void add_direct_routes(netlink::Socket& socket, FlannelNetwork& network) {
        std::vector<FlannelRoute> direct;
        take(read_direct_routes(socket, network, facts_.config.cluster_cidrs), direct);
        std::ranges::move(direct, std::back_inserter(network.routes));
    }
    // What was seen behind each port; the permanent ones are the ports' own.
    void read_learned(netlink::Socket& socket) {
        std::vector<netlink::FdbEntry> entries;
        take(netlink::list_fdb(socket, 0), entries);
        for (const auto& entry : entries) {
            const auto port = std::ranges::find(facts_.bridge->ports, entry.ifindex, &BridgePort::ifindex);
            if (port != facts_.bridge->ports.end() && (entry.state & NUD_PERMANENT) == 0) {
                facts_.learned[port->name].insert(entry.mac);
            }
        }
    }

    template <typename T>
    void read_file(const char* path, Result<T> (*parse)(std::string_view), std::optional<T>& into) {
        const auto file = place_.on_node(path);
        const auto text = read_small_file(file);
        if (!text && (text.error().code == ENOENT || text.error().code == ENOTDIR)) {
            facts_.absent.emplace_back(path);
        } else if (!text) {
            facts_.gaps.push_back(text.error().message);
        } else if (auto parsed = parse(*text)) {
            into = std::move(*parsed);
        } else {
            facts_.gaps.push_back(fmt::format("{}: {}", file.string(), parsed.error().message));
        }
    }
    void read_flannel_files() {
        read_file("/etc/kube-flannel/net-conf.json", &parse_net_conf, facts_.net_conf);
        read_file("/run/flannel/subnet.env", &parse_subnet_env, facts_.subnet_env);
    }

    [[nodiscard]] std::filesystem::path cni_directory() const {
        const auto& file = facts_.config.cni.config_file;
        return file.empty() ? "/etc/cni/net.d" : std::filesystem::path(file).parent_path();
    }
    // A file that cannot be read may belong to a pod of the bridge, which is then without one. Without the directory
    // all pods of the bridge would be left to it.
    void read_results() {
        facts_.results = read_cni_results(place_.on_node("/var/lib/cni/results"), facts_.flannel_network_name());
        auto& problems = facts_.results.problems;
        const auto missing = std::ranges::find(problems, ENOENT, &Error::code);
        if (missing != problems.end() && facts_.bridge && !facts_.bridge->ports.empty()) {
            facts_.gaps.push_back(fmt::format("{}; without it no pod on {} can be taken over (in a container: --root)",
                                              missing->message, facts_.bridge->name));
        }
        std::erase_if(problems, [](const Error& problem) { return problem.code == ENOENT; });
    }

    void read_processes() {
        facts_.flannelds = find_processes("flanneld");
        if (!sees_all_processes()) {
            facts_.gaps.emplace_back(
                "this is not the node's PID namespace: a flanneld that runs would not be seen (in a container: "
                "hostPID)");
        }
    }

    // Without an agent there may be no map.
    void read_map() {
        const auto map =
            ReadOnlyMap<spec::nodes_by_pod_cidr>::open(map_pin_directory(place_.bpffs) / spec::nodes_by_pod_cidr::name);
        const auto entries = map ? map->entries() : std::unexpected(map.error());
        if (!entries) {
            if (entries.error().code != ENOENT) {
                facts_.gaps.push_back(entries.error().message);
            }
            return;
        }
        for (const auto& [key, route] : *entries) {
            std::array<std::uint8_t, 6> mac{};
            std::ranges::copy(route.vtep_mac, mac.begin());
            facts_.nodes_by_pod_cidr[Ipv4Prefix::masked(Ipv4Address::from_wire(key.address), key.prefix_length)] = {
                .vtep = Ipv4Address::from_wire(route.vtep), .mac = MacAddress(mac), .path = route.path};
        }
    }

    void ask_peers() {
        std::vector<Ipv4Address> addresses;
        if (const auto* network = facts_.known_network()) {
            for (const auto& peer : peers_of(*network)) {
                addresses.push_back(peer.pod_cidr.address());
            }
        }
        take(silent_among(addresses), facts_.silent);
    }

    const Place& place_;
    Facts facts_;
};

}  // namespace

bool CniFile::uses(std::string_view plugin) const {
    return std::ranges::find(plugins, plugin) != plugins.end();
}

const CniFile* Facts::podlane_cni() const {
    const auto found = std::ranges::find_if(cni, [](const CniFile& file) { return file.uses("podlane"); });
    return found == cni.end() ? nullptr : &*found;
}

const CniFile* Facts::flannel_cni() const {
    const auto found = std::ranges::find_if(cni, [](const CniFile& file) { return file.uses("flannel"); });
    return found == cni.end() ? nullptr : &*found;
}

std::string Facts::flannel_store() const {
    const auto* theirs = flannel_cni();
    return theirs == nullptr || theirs->store.empty() ? usual_store : theirs->store;
}

std::string Facts::flannel_network_name() const {
    const auto* theirs = flannel_cni();
    return theirs == nullptr || theirs->network.empty() ? usual_network_name : theirs->network;
}

const FlannelNetwork* Facts::known_network() const {
    if (flannel && (flannel_is_up || !record)) {
        return &*flannel;
    }
    return record ? &record->network : nullptr;
}

std::string Facts::change_since_record() const {
    return flannel && flannel_is_up && record ? difference(record->network, *flannel) : "";
}

std::size_t Facts::ports_of_flannel() const {
    return !bridge ? 0 : static_cast<std::size_t>(std::ranges::count_if(bridge->ports, [&](const BridgePort& port) {
        return !agent || agent->endpoint_on(port.name) == nullptr;
    }));
}

AgentClient client_of(const Place& place) {
    return {place.run_dir, place.timeout};
}

std::vector<CniFile> read_cni_files(const Place& place, const std::filesystem::path& directory,
                                    std::vector<std::string>& gaps) {
    std::vector<std::filesystem::path> paths;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(place.on_node(directory), error)) {
        const auto extension = entry.path().extension();
        if (extension == ".conf" || extension == ".conflist" || extension == ".json") {
            paths.push_back(entry.path());
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        gaps.push_back(fmt::format("read {}: {}", place.on_node(directory).string(), error.message()));
    }
    std::ranges::sort(paths);
    std::vector<CniFile> files;
    for (const auto& path : paths) {
        const auto text = read_small_file(path);
        auto file = text ? parse_cni_file(directory / path.filename(), *text) : std::nullopt;
        if (file) {
            files.push_back(std::move(*file));
        } else {
            gaps.push_back(text ? fmt::format("{}: not a JSON object", path.string()) : text.error().message);
        }
    }
    return files;
}

Facts collect(const Config& config, const Place& place, Probe probe) {
    return Collector(config, place).run(probe);
}

}  // namespace podlane::migrate
