// SPDX-License-Identifier: Apache-2.0
#include "agent/node/api.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "maps/names.h"

namespace podlane {
namespace {

using Json = nlohmann::ordered_json;

constexpr unsigned bad_request = 400;
constexpr unsigned not_found = 404;
constexpr unsigned conflict = 409;
constexpr unsigned internal_error = 500;
constexpr unsigned unavailable = 503;

HttpResponse respond(const Json& body) {
    return {.status = 200, .body = body.dump(), .content_type = "application/json", .headers = {}};
}

std::vector<std::string> texts(const std::vector<Ipv4Prefix>& prefixes) {
    std::vector<std::string> result;
    result.reserve(prefixes.size());
    for (const auto& prefix : prefixes) {
        result.push_back(prefix.to_string());
    }
    return result;
}

Json features_json(const KernelFeatures& features) {
    return {{"encapsulation", to_string(features.encapsulation)},
            {"hooks", to_string(features.attach)},
            {"memory", to_string(features.memory)},
            {"xdp", to_string(features.xdp)}};
}

Json repairs_json(const RepairLog& repairs) {
    Json recent = Json::array();
    for (const auto& entry : repairs.recent()) {
        recent.push_back({{"at", to_rfc3339(entry.at)}, {"subsystem", entry.subsystem}, {"what", entry.what}});
    }
    return {{"total", repairs.total()}, {"bySubsystem", repairs.by_subsystem()}, {"recent", recent}};
}

Json status_of(const NodeAgent& agent) {
    Json subsystems = Json::array();
    for (const auto& one : agent.health().subsystems()) {
        subsystems.push_back(
            {{"name", one.name}, {"state", to_string(one.state)}, {"reason", one.reason}, {"action", one.action}});
    }
    return {{"state", to_string(agent.health().overall())},
            {"node", agent.settings().config.node_name},
            {"version", PODLANE_VERSION},
            {"subsystems", subsystems},
            {"details",
             {{"nodes", agent.cluster().nodes.size()},
              {"pods", agent.endpoints().all().size()},
              {"warnings", agent.cluster().warnings.size() + agent.pod_warnings().size()},
              {"attach", to_string(agent.features().attach)},
              {"podMTU", agent.pod_mtu()},
              {"pathSwitches", agent.peers().switches()},
              {"repairs", repairs_json(agent.repairs())},
              {"netlinkOverruns", agent.netlink_overruns()},
              {"features", features_json(agent.features())}}}};
}

struct PathReport {
    std::string path;
    std::string reason;
};

PathReport path_of(const NodeAgent& agent, const Node& node) {
    if (node.self) {
        return {"local", "this node"};
    }
    const auto& paths = agent.peers().all();
    const auto found = paths.find(node.name);
    return found == paths.end() ? PathReport{"unreachable", "not resolved yet"}
                                : PathReport{name_of(found->second.path), found->second.reason};
}

Json nodes_of(const NodeAgent& agent) {
    Json nodes = Json::array();
    for (const auto& [name, node] : agent.cluster().nodes) {
        const auto report = path_of(agent, node);
        nodes.push_back({{"name", name},
                         {"internalIP", node.internal_ip.to_string()},
                         {"podCIDRs", texts(node.pod_cidrs)},
                         {"path", report.path},
                         {"reason", report.reason}});
    }
    return nodes;
}

// Of a pod whose device is gone: what a new one would have.
std::string snat_of(const NodeAgent& agent, Ipv4Address pod) {
    const auto found = std::ranges::find(agent.pods(), pod, &AttachedPod::ip);
    return (found == agent.pods().end() ? PodSnat{} : found->snat).to_string();
}

Json pods_of(const NodeAgent& agent) {
    Json pods = Json::array();
    for (const auto& [id, endpoint] : agent.endpoints().all()) {
        pods.push_back({{"namespace", endpoint.name_space},
                        {"name", endpoint.name},
                        {"ip", endpoint.ip.to_string()},
                        {"mac", endpoint.mac.to_string()},
                        {"interface", endpoint.link == "macvlan" ? endpoint.master : endpoint.host_interface},
                        {"link", endpoint.link},
                        {"snat", snat_of(agent, endpoint.ip)}});
    }
    return pods;
}

HttpResponse links_of(NodeAgent& agent) {
    const auto items = agent.inspect_links();
    if (!items) {
        return HttpResponse::error(internal_error, items.error().message);
    }
    Json links = Json::array();
    for (const auto& item : *items) {
        links.push_back({{"kind", item.kind},
                         {"name", item.name},
                         {"wanted", item.wanted},
                         {"actual", item.actual},
                         {"state", to_string(item.state)}});
    }
    return respond(links);
}

constexpr std::string_view text_of(MacvlanMode mode) {
    switch (mode) {
        case MacvlanMode::bridge:
            return "bridge";
        case MacvlanMode::private_mode:
            return "private";
        case MacvlanMode::vepa:
            return "vepa";
        case MacvlanMode::passthru:
            return "passthru";
    }
    return "";
}

// `routes`: what a pod must send through the shim to reach it.
Json macvlans_for_cni(const NodeAgent& agent) {
    Json networks = Json::array();
    for (const auto& network : agent.macvlans().settings()) {
        auto routes = agent.settings().overlay.cluster_cidrs;
        const auto& services =
            network.service_cidrs.empty() ? agent.settings().overlay.snat.service_cidrs : network.service_cidrs;
        routes.insert(routes.end(), services.begin(), services.end());
        const auto host_address = agent.macvlans().host_address(network.name);
        const auto node_address = agent.cluster().self()->internal_ip;
        if (host_address && *host_address != node_address) {
            routes.push_back(Ipv4Prefix::masked(node_address, 32));
        }
        networks.push_back({{"name", network.name},
                            {"master", network.master},
                            {"mode", text_of(network.mode)},
                            {"shim", network.shim},
                            {"hostAddress", host_address ? host_address->to_string() : std::string()},
                            {"routes", texts(routes)}});
    }
    return networks;
}

HttpResponse network_for_cni(const NodeAgent& agent) {
    if (const auto reason = agent.not_ready()) {
        return HttpResponse::error(unavailable, *reason);
    }
    const Node& self = *agent.cluster().self();
    return respond({{"podCIDRs", texts(self.pod_cidrs)},
                    {"mtu", agent.pod_mtu()},
                    {"nodeAddress", self.internal_ip.to_string()},
                    {"macvlan", macvlans_for_cni(agent)}});
}

HttpResponse put_endpoint(NodeAgent& agent, const HttpRequest& request) {
    const auto endpoint = Endpoint::parse(request.body);
    if (!endpoint) {
        return HttpResponse::error(bad_request, endpoint.error().message);
    }
    if (endpoint->id() != request.id) {
        return HttpResponse::error(bad_request, fmt::format("the record is that of {}", endpoint->id()));
    }
    if (const auto reason = agent.not_ready()) {
        return HttpResponse::error(unavailable, *reason);
    }
    if (const auto added = agent.add_endpoint(*endpoint); !added) {
        return HttpResponse::error(conflict, added.error().message);
    }
    return respond(Json::object());
}

HttpResponse delete_endpoint(NodeAgent& agent, const HttpRequest& request) {
    const auto removed = agent.remove_endpoint(request.id);
    if (!removed) {
        return HttpResponse::error(internal_error, removed.error().message);
    }
    return *removed ? respond(Json::object())
                    : HttpResponse::error(not_found, fmt::format("there is no endpoint {}", request.id));
}

HttpResponse get_endpoint(const NodeAgent& agent, const HttpRequest& request) {
    const auto* endpoint = agent.endpoints().find(request.id);
    return endpoint != nullptr ? respond(Json(endpoint->to_json()))
                               : HttpResponse::error(not_found, fmt::format("there is no endpoint {}", request.id));
}

Json endpoints_of(const NodeAgent& agent) {
    Json endpoints = Json::array();
    for (const auto& [id, endpoint] : agent.endpoints().all()) {
        endpoints.push_back(Json(endpoint.to_json()));
    }
    return endpoints;
}

}  // namespace

void serve_api(HttpServer& server, NodeAgent& agent) {
    server.handle("GET", "/v1/status", [&agent](const HttpRequest&) { return respond(status_of(agent)); });
    server.handle("GET", "/v1/version", [](const HttpRequest&) { return respond({{"version", PODLANE_VERSION}}); });
    server.handle("GET", "/v1/nodes", [&agent](const HttpRequest&) { return respond(nodes_of(agent)); });
    server.handle("GET", "/v1/pods", [&agent](const HttpRequest&) { return respond(pods_of(agent)); });
    server.handle("GET", "/v1/links", [&agent](const HttpRequest&) { return links_of(agent); });
    server.handle("GET", "/v1/cni/network", [&agent](const HttpRequest&) { return network_for_cni(agent); });
    server.handle("GET", "/v1/endpoints", [&agent](const HttpRequest&) { return respond(endpoints_of(agent)); });
    server.handle("GET", "/v1/endpoints/{id}",
                  [&agent](const HttpRequest& request) { return get_endpoint(agent, request); });
    server.handle("PUT", "/v1/endpoints/{id}",
                  [&agent](const HttpRequest& request) { return put_endpoint(agent, request); });
    server.handle("DELETE", "/v1/endpoints/{id}",
                  [&agent](const HttpRequest& request) { return delete_endpoint(agent, request); });
}

}  // namespace podlane
