// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/cni_results.h"

#include <arpa/inet.h>

#include <algorithm>
#include <system_error>

#include <nlohmann/json.hpp>

#include "agent/files.h"
#include "agent/migrate/json_fields.h"

namespace podlane::migrate {
namespace {

constexpr std::string_view kind = "cniCacheV1";

// [["K8S_POD_NAMESPACE", "default"], ...]: there where a kubelet asked for the pod.
void read_pod(JsonFields& fields, CniAttachment& attachment) {
    const auto* arguments = fields.find("cniArgs");
    if (arguments == nullptr) {
        return;
    }
    for (const auto& argument : *arguments) {
        if (!argument.is_array() || argument.size() != 2 || !argument[0].is_string() || !argument[1].is_string()) {
            return fields.report("cniArgs", "not a list of pairs of texts");
        }
        const auto key = argument[0].get<std::string>();
        const auto value = argument[1].get<std::string>();
        if (key == "K8S_POD_NAMESPACE") {
            attachment.name_space = value;
        } else if (key == "K8S_POD_NAME") {
            attachment.name = value;
        } else if (key == "K8S_POD_UID") {
            attachment.uid = value;
        }
    }
}

// The plugins put the bridge first, then the host's end of the veth, then the container's, which alone has a sandbox;
// with several of them the end that belongs to one stands right before it. Returns the position of the container's.
std::optional<std::size_t> read_interfaces(JsonFields& result, CniAttachment& attachment) {
    auto interfaces = result.objects("interfaces");
    for (std::size_t index = 0; index < interfaces.size(); ++index) {
        const auto sandbox = interfaces[index].optional_text("sandbox").value_or("");
        if (sandbox.empty() || interfaces[index].text("name") != attachment.if_name) {
            continue;
        }
        attachment.mac = interfaces[index].parsed<MacAddress>("mac");
        attachment.netns = attachment.netns.empty() ? sandbox : attachment.netns;
        if (index == 0 || !interfaces[index - 1].optional_text("sandbox").value_or("").empty()) {
            result.report("interfaces", fmt::format("{} has no end on the host", attachment.if_name));
            return std::nullopt;
        }
        attachment.host_interface = interfaces[index - 1].text("name");
        return index;
    }
    result.report("interfaces", fmt::format("none is {} in a sandbox", attachment.if_name));
    return std::nullopt;
}

bool is_ipv6(std::string_view address) {
    return address.find(':') != std::string_view::npos;
}

// fe80::/10: every interface has one, whatever the network.
bool is_link_local(std::string_view address) {
    in6_addr parsed{};
    const std::string text(address.substr(0, address.find('/')));
    return inet_pton(AF_INET6, text.c_str(), &parsed) == 1 && IN6_IS_ADDR_LINKLOCAL(&parsed);
}

// Of the interface alone; an address that names no interface is its, too.
void read_addresses(JsonFields& result, std::size_t interface, CniAttachment& attachment) {
    std::size_t count = 0;
    for (auto& ip : result.objects("ips")) {
        if (ip.number<std::size_t>("interface", interface) != interface) {
            continue;
        }
        if (const auto address = ip.text("address"); is_ipv6(address)) {
            attachment.has_ipv6 = attachment.has_ipv6 || !is_link_local(address);
            continue;
        }
        attachment.ip = ip.parsed<Cidr>("address").address;
        attachment.gateway = ip.optional_parsed<Ipv4Address>("gateway");
        ++count;
    }
    if (count != 1) {
        result.report("ips", fmt::format("{} has {} IPv4 addresses, not one", attachment.if_name, count));
    }
}

CniAttachment read_attachment(JsonFields& fields) {
    CniAttachment attachment;
    attachment.container_id = fields.text("containerId");
    attachment.if_name = fields.text("ifName");
    attachment.network = fields.text("networkName");
    attachment.netns = fields.optional_text("netns").value_or("");  // written since libcni 1.2.3
    read_pod(fields, attachment);
    if (!fields.has("result")) {
        fields.report("result", "is missing");
        return attachment;
    }
    auto result = fields.object("result");
    if (const auto interface = read_interfaces(result, attachment)) {
        read_addresses(result, *interface, attachment);
    }
    return attachment;
}

// Of other networks whose names begin alike as well: a container's ID has no fixed form.
Result<std::vector<std::filesystem::path>> files_of(const std::filesystem::path& directory,
                                                    const std::string& network) {
    std::vector<std::filesystem::path> files;
    std::error_code error;
    std::filesystem::directory_iterator entry(directory, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        if (entry->path().filename().string().starts_with(network + "-")) {
            files.push_back(entry->path());
        }
    }
    if (error) {
        return fail_errno(error.value(), "read {}", directory.string());
    }
    std::ranges::sort(files);
    return files;
}

// The network alone, of what may be an attachment that nothing can be done with.
bool is_of_another(std::string_view text, const std::string& network) {
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto found = json.is_object() ? json.find("networkName") : json.end();
    return found != json.end() && found->is_string() && *found != network;
}

}  // namespace

Result<CniAttachment> parse_cni_result(std::string_view json) {
    const auto document = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
    if (document.is_discarded()) {
        return fail("not valid JSON");
    }
    JsonProblem problem;
    JsonFields fields(document, "", problem);
    if (document.is_object() && fields.optional_text("kind") != kind) {
        fields.report("kind", fmt::format("not \"{}\", libcni's own form", kind));
    }
    auto attachment = read_attachment(fields);
    if (problem.first()) {
        return std::unexpected(*problem.first());
    }
    return attachment;
}

CniResults read_cni_results(const std::filesystem::path& directory, const std::string& network) {
    CniResults results;
    const auto files = files_of(directory, network);
    if (!files) {
        results.problems.push_back(files.error());
        return results;
    }
    for (const auto& file : *files) {
        const auto text = read_small_file(file.string());
        if (!text) {
            if (text.error().code != ENOENT) {
                results.problems.push_back(text.error());
            }
            continue;
        }
        if (is_of_another(*text, network)) {
            continue;
        }
        auto attachment = parse_cni_result(*text);
        if (attachment) {
            results.attachments.push_back(std::move(*attachment));
        } else {
            results.problems.push_back(
                {attachment.error().code, fmt::format("{}: {}", file.string(), attachment.error().message)});
        }
    }
    return results;
}

}  // namespace podlane::migrate
