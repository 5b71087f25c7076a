// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/agent_commands.h"

#include <array>
#include <ostream>
#include <string_view>

#include <nlohmann/json.hpp>

#include "agent/ctl/agent_client.h"
#include "agent/ctl/output.h"
#include "maps/schema/version.h"

namespace podlane::ctl {
namespace {

constexpr long http_ok = 200;
constexpr long http_not_found = 404;

// What the agent itself says is wrong; the bare status when it says nothing that can be read.
std::string refusal_of(const AgentReply& reply) {
    const auto body = Json::parse(reply.body, nullptr, false);
    const bool explained = body.is_object() && body.contains("error") && body["error"].is_string();
    return explained ? body["error"].get<std::string>() : fmt::format("HTTP status {}", reply.status);
}

Outcome<Json> ask(const Context& context, std::string_view path) {
    const AgentClient client(context.run_dir, context.timeout);
    const auto reply = client.call({.path = path});
    if (!reply) {
        const bool forbidden = reply.error().code == EACCES || reply.error().code == EPERM;
        const std::string_view hint = forbidden
                                          ? "run agentctl as the user that runs podlane-agent"
                                          : "start podlane-agent on this node, or name its directory with --run-dir";
        return failure(forbidden ? ExitStatus::error : ExitStatus::unreachable, "{}; {}", reply.error().message, hint);
    }
    if (reply->status != http_ok) {
        const auto status = reply->status == http_not_found ? ExitStatus::not_found : ExitStatus::error;
        return failure(status, "the agent refuses {}: {}", path, refusal_of(*reply));
    }
    auto document = Json::parse(reply->body, nullptr, false);
    if (document.is_discarded()) {
        return failure(ExitStatus::error, "the agent's answer to {} is no JSON", path);
    }
    return document;
}

Outcome<ExitStatus> list(const Context& context, std::string_view path, std::span<const Column> columns) {
    const auto records = ask(context, path);
    if (!records) {
        return std::unexpected(records.error());
    }
    const auto is_object = [](const Json& record) { return record.is_object(); };
    if (!records->is_array() || !std::ranges::all_of(*records, is_object)) {
        return failure(ExitStatus::error, "the agent's answer to {} is no array of objects", path);
    }
    print_records(context, *records, columns);
    return ExitStatus::ok;
}

std::string text_field(const Json& object, const std::string& name) {
    const auto field = object.find(name);
    return field == object.end() || field->is_null() ? "" : cell_of(*field);
}

// The ways that the agent takes on this kernel: "hooks: tcx".
void print_features(std::ostream& out, const Json& details) {
    const auto features = details.is_object() ? details.find("features") : details.end();
    if (features == details.end() || !features->is_object()) {
        return;
    }
    for (const auto& [name, value] : features->items()) {
        out << fmt::format("{}: {}\n", cell_of(Json(name)), cell_of(value));
    }
}

void print_status_table(const Context& context, const Json& answer) {
    std::ostream& out = *context.out;
    const Json details = answer.value("details", Json::object());
    if (context.headers == Headers::shown) {
        out << fmt::format("node {}, podlane {}: {}\n", text_field(answer, "node"), text_field(answer, "version"),
                           text_field(answer, "state"));
        print_features(out, details);
        out << '\n';
    }
    Table subsystems({"SUBSYSTEM", "STATE", "REASON", "ACTION"});
    for (const Json& one : answer.value("subsystems", Json::array())) {
        subsystems.add(
            {text_field(one, "name"), text_field(one, "state"), text_field(one, "reason"), text_field(one, "action")});
    }
    subsystems.print(out, context.headers);
    if (context.format == OutputFormat::wide && details.is_object() && !details.empty()) {
        out << '\n';
        Table table({"DETAIL", "VALUE"});
        for (const auto& [name, value] : details.items()) {
            if (name != "features") {  // already said
                table.add({name, cell_of(value)});
            }
        }
        table.print(out, context.headers);
    }
}

bool is_status(const Json& answer) {
    const auto is_object = [](const Json& one) { return one.is_object(); };
    return answer.is_object() && answer.contains("state") && answer["state"].is_string() &&
           answer.contains("subsystems") && answer["subsystems"].is_array() &&
           std::ranges::all_of(answer["subsystems"], is_object);
}

}  // namespace

Outcome<ExitStatus> status(const Context& context) {
    const auto answer = ask(context, "/v1/status");
    if (!answer) {
        return std::unexpected(answer.error());
    }
    if (!is_status(*answer)) {
        return failure(ExitStatus::error, "the agent's answer to /v1/status has no state or no subsystems");
    }
    if (context.format == OutputFormat::json || context.format == OutputFormat::yaml) {
        print_document(context, *answer);
    } else {
        print_status_table(context, *answer);
    }
    return (*answer)["state"] == "ok" ? ExitStatus::ok : ExitStatus::degraded;
}

Outcome<ExitStatus> node_list(const Context& context) {
    constexpr auto columns = std::to_array<Column>({{"name"}, {"internalIP"}, {"podCIDRs"}, {"path"}, {"reason"}});
    return list(context, "/v1/nodes", columns);
}

Outcome<ExitStatus> pod_list(const Context& context) {
    constexpr auto columns = std::to_array<Column>({{"namespace"},
                                                    {"name"},
                                                    {"ip"},
                                                    {"mac", Shown::wide_only},
                                                    {"interface"},
                                                    {"link"},
                                                    {"snat", Shown::wide_only}});
    return list(context, "/v1/pods", columns);
}

Outcome<ExitStatus> link_list(const Context& context) {
    constexpr auto columns = std::to_array<Column>({{"kind"}, {"name"}, {"state"}, {"wanted"}, {"actual"}});
    return list(context, "/v1/links", columns);
}

Outcome<ExitStatus> version(const Context& context) {
    const auto agent = ask(context, "/v1/version");
    if (!agent && agent.error().status != ExitStatus::unreachable) {
        *context.err << fmt::format("agentctl: {}\n", agent.error().message);
    }
    const bool known = agent && agent->is_object() && agent->contains("version");
    const Json record = {{"version", PODLANE_VERSION},
                         {"schema", PODLANE_SCHEMA_VERSION},
                         {"agent", known ? (*agent)["version"] : Json()}};
    if (context.format == OutputFormat::json || context.format == OutputFormat::yaml) {
        print_document(context, record);
        return ExitStatus::ok;
    }
    constexpr auto columns = std::to_array<Column>({{"version"}, {"schema"}, {"agent"}});
    print_records(context, Json::array({record}), columns);
    return ExitStatus::ok;
}

}  // namespace podlane::ctl
