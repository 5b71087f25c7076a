// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/agent_view.h"

#include <algorithm>
#include <cerrno>

#include <nlohmann/json.hpp>

namespace podlane::migrate {
namespace {

using Json = nlohmann::json;

constexpr long http_ok = 200;
constexpr long http_unavailable = 503;

std::string refusal_of(const AgentReply& reply) {
    const auto body = Json::parse(reply.body, nullptr, false);
    const bool explained = body.is_object() && body.contains("error") && body["error"].is_string();
    return explained ? body["error"].get<std::string>() : fmt::format("HTTP status {}", reply.status);
}

Result<Json> get(const AgentClient& client, std::string_view path) {
    const auto reply = client.call({.path = path});
    if (!reply) {
        return std::unexpected(reply.error());
    }
    if (reply->status != http_ok) {
        return fail("the agent refuses {}: {}", path, refusal_of(*reply));
    }
    auto body = Json::parse(reply->body, nullptr, false);
    if (body.is_discarded()) {
        return fail("the agent's answer to {} is no JSON", path);
    }
    return body;
}

AgentNode node_of(const Json& json) {
    AgentNode node{.name = json.at("name"), .internal_ip = {}, .pod_cidrs = {}, .path = json.at("path"), .reason = {}};
    node.reason = json.value("reason", "");
    node.internal_ip = Ipv4Address::parse(json.at("internalIP").get<std::string>()).value_or(Ipv4Address());
    for (const auto& text : json.at("podCIDRs")) {
        if (const auto prefix = Ipv4Prefix::parse(text.get<std::string>())) {
            node.pod_cidrs.push_back(*prefix);
        }
    }
    return node;
}

void take_status(const Json& json, AgentView& view) {
    view.node = json.at("node");
    for (const auto& one : json.at("subsystems")) {
        view.subsystems.push_back({.name = one.at("name"),
                                   .state = one.at("state"),
                                   .reason = one.value("reason", ""),
                                   .action = one.value("action", "")});
    }
}

void take_nodes(const Json& json, AgentView& view) {
    std::ranges::transform(json, std::back_inserter(view.nodes), node_of);
}

void take_links(const Json& json, AgentView& view) {
    for (const auto& one : json) {
        view.links.push_back({.kind = one.at("kind"), .name = one.at("name"), .state = one.at("state")});
    }
}

// A record that this agentctl does not understand is left out: the pod counts as not adopted.
void take_endpoints(const Json& json, AgentView& view) {
    for (const auto& one : json) {
        if (auto endpoint = Endpoint::from_json(one)) {
            view.endpoints.push_back(std::move(*endpoint));
        }
    }
}

Result<void> take(const AgentClient& client, std::string_view path, AgentView& view,
                  void (*take_body)(const Json&, AgentView&)) {
    const auto body = get(client, path);
    if (!body) {
        return std::unexpected(body.error());
    }
    try {
        take_body(*body, view);
    } catch (const Json::exception& error) {
        return fail("the agent's answer to {} is not as it should be: {}", path, error.what());
    }
    return {};
}

Result<void> take_readiness(const AgentClient& client, AgentView& view) {
    const auto reply = client.call({.path = "/v1/cni/network"});
    if (!reply) {
        return std::unexpected(reply.error());
    }
    if (reply->status == http_unavailable) {
        view.not_ready = refusal_of(*reply);
        return {};
    }
    return take(client, "/v1/cni/network", view, [](const Json& json, AgentView& into) { into.mtu = json.at("mtu"); });
}

}  // namespace

const AgentNode* AgentView::self() const {
    const auto found = std::ranges::find(nodes, "local", &AgentNode::path);
    return found == nodes.end() ? nullptr : &*found;
}

const Endpoint* AgentView::endpoint(const std::string& id) const {
    const auto found = std::ranges::find(endpoints, id, &Endpoint::id);
    return found == endpoints.end() ? nullptr : &*found;
}

const Endpoint* AgentView::endpoint_on(const std::string& device) const {
    const auto found = std::ranges::find(endpoints, device, &Endpoint::host_interface);
    return found == endpoints.end() ? nullptr : &*found;
}

Result<AgentView> ask_agent(const AgentClient& client) {
    AgentView view;
    for (const auto& [path, take_body] : {std::pair{"/v1/status", &take_status}, std::pair{"/v1/nodes", &take_nodes},
                                          std::pair{"/v1/endpoints", &take_endpoints}}) {
        if (const auto taken = take(client, path, view, take_body); !taken) {
            return std::unexpected(taken.error());
        }
    }
    if (const auto taken = take_readiness(client, view); !taken) {
        return std::unexpected(taken.error());
    }
    if (view.not_ready.empty()) {
        if (const auto taken = take(client, "/v1/links", view, &take_links); !taken) {
            return std::unexpected(taken.error());
        }
    }
    return view;
}

bool agent_runs(const AgentClient& client) {
    const auto reply = client.call({.path = "/v1/version"});
    return reply || (reply.error().code != ENOENT && reply.error().code != ECONNREFUSED);
}

Result<void> hand_over(const AgentClient& client, const Endpoint& endpoint) {
    const auto path = fmt::format("/v1/endpoints/{}", endpoint.id());
    const auto body = endpoint.to_json().dump();
    const auto reply = client.call({.method = "PUT", .path = path, .body = body});
    if (!reply) {
        return std::unexpected(reply.error());
    }
    return reply->status == http_ok ? Result<void>() : fail("the agent refuses it: {}", refusal_of(*reply));
}

}  // namespace podlane::migrate
