// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/ipam.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>

namespace podlane::cni {
namespace {

using nlohmann::json;

// A DHCP client may be behind it; runtimes give up after minutes.
constexpr std::chrono::seconds plugin_timeout{60};

bool is_executable_file(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

// One file of host-local's store: its name is an address, its text "<containerID>\r\n<ifName>".
std::optional<AttachmentKey> read_reservation(const std::string& directory, const std::string& name) {
    std::ifstream file(fmt::format("{}/{}", directory, name));
    AttachmentKey who;
    if (!Ipv4Address::parse(name) || !std::getline(file, who.container_id) || !std::getline(file, who.if_name)) {
        return std::nullopt;
    }
    if (who.container_id.ends_with('\r')) {
        who.container_id.pop_back();
    }
    return is_valid_container_id(who.container_id) && is_valid_interface_name(who.if_name) ? std::optional(who)
                                                                                           : std::nullopt;
}

std::string host_local_store(const json& section) {
    const auto found = section.find("dataDir");
    const bool given = found != section.end() && found->is_string() && !found->get_ref<const std::string&>().empty();
    return given ? found->get<std::string>() : std::string("/var/lib/cni/networks");
}

// For commands that answer with nothing.
Outcome<void> discard_output(const Outcome<std::string>& output) {
    return output ? Outcome<void>() : std::unexpected(output.error());
}

std::vector<std::string> parse_supported_versions(std::string_view output) {
    const auto answer = json::parse(output, nullptr, /*allow_exceptions=*/false);
    const auto list = answer.is_object() ? answer.find("supportedVersions") : answer.end();
    std::vector<std::string> versions;
    if (answer.is_object() && list != answer.end()) {
        for (const auto& entry : *list) {
            versions.push_back(entry.is_string() ? entry.get<std::string>() : std::string());
        }
    }
    return versions;
}

}  // namespace

namespace {

// The capability "ipRanges": they come beside the section.
bool has_ranges_of_runtime(const json& raw) {
    const auto runtime = raw.find("runtimeConfig");
    return runtime != raw.end() && runtime->is_object() && runtime->contains("ipRanges");
}

}  // namespace

json ipam_section(const NetworkConfig& config, std::span<const Ipv4Prefix> pod_cidrs) {
    // A store that is shared with another plugin of the network (flannel's) is named without ranges, which differ from
    // node to node.
    const bool is_store_alone = config.ipam && config.ipam_type == "host-local" && !config.ipam->contains("ranges") &&
                                !config.ipam->contains("subnet") && !has_ranges_of_runtime(config.raw) &&
                                config.link == LinkKind::veth;
    if (config.ipam && !is_store_alone) {
        return *config.ipam;
    }
    json ranges = json::array();
    for (const auto& prefix : pod_cidrs) {
        ranges.push_back({{"subnet", prefix.to_string()}});
    }
    if (ranges.empty()) {
        ranges.push_back({{"subnet", "192.0.2.0/24"}});
    }
    // One set of ranges: one address out of any of them. (host-local takes one address from each set.)
    json section =
        is_store_alone ? *config.ipam : json{{"type", config.ipam_type}, {"dataDir", config.run_dir + "/ipam"}};
    section["ranges"] = json::array({ranges});
    return section;
}

json ipam_config(const NetworkConfig& config, std::span<const Ipv4Prefix> pod_cidrs, Version version) {
    json raw = config.raw;
    raw["cniVersion"] = version.text();
    raw["ipam"] = ipam_section(config, pod_cidrs);
    if (config.prev_result) {
        raw["prevResult"] = convert_result(*config.prev_result, version);
    }
    return raw;
}

Failure ipam_failure(std::string_view plugin, int exit_status, std::string_view output) {
    Failure failure;
    failure.code = static_cast<unsigned>(Code::attachment_failed);
    failure.message = fmt::format("{} failed with exit status {} and no error object", plugin, exit_status);
    const auto object = json::parse(output, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) {
        failure.details = output.substr(0, 1000);
        return failure;
    }
    if (const auto code = object.find("code"); code != object.end() && code->is_number_unsigned() && *code != 0) {
        failure.code = code->get<unsigned>();
    }
    if (const auto message = object.find("msg"); message != object.end() && message->is_string()) {
        failure.message = fmt::format("{}: {}", plugin, message->get<std::string>());
    }
    if (const auto details = object.find("details"); details != object.end() && details->is_string()) {
        failure.details = details->get<std::string>();
    }
    return failure;
}

Environment PluginIpam::environment_for(const char* command, const AttachmentKey& who) const {
    Environment environment = invocation_.environment;
    environment["CNI_COMMAND"] = command;
    environment["CNI_CONTAINERID"] = who.container_id;
    environment["CNI_IFNAME"] = who.if_name;
    environment["CNI_NETNS"] = who.netns;
    // The arguments that name the Pod are ours: IPAM plugins refuse what they do not know, unless told otherwise.
    auto& arguments = environment["CNI_ARGS"];
    if (!arguments.empty() && !arguments.contains("IgnoreUnknown=")) {
        arguments.insert(0, "IgnoreUnknown=1;");
    }
    return environment;
}

Outcome<Version> PluginIpam::negotiate(const std::string& path) const {
    const json question{{"cniVersion", config_.version.text()}};
    const auto output = run_process(path, environment_for("VERSION", {}), question.dump(), plugin_timeout);
    if (!output) {
        return refuse_because(Code::io_failure, output.error());
    }
    if (output->exit_status != 0) {
        return std::unexpected(ipam_failure(config_.ipam_type, output->exit_status, output->standard_output));
    }
    const auto versions = parse_supported_versions(output->standard_output);
    const auto version = common_version(config_.version, versions);
    if (!version) {
        return refuse(Code::incompatible_version, "IPAM plugin {} speaks no version up to {} that podlane speaks",
                      config_.ipam_type, config_.version.text());
    }
    return *version;
}

Outcome<PluginIpam::Program> PluginIpam::find() {
    if (program_) {
        return *program_;
    }
    for (const auto& directory : invocation_.path) {
        const std::string path = fmt::format("{}/{}", directory, config_.ipam_type);
        if (!is_executable_file(path)) {
            continue;
        }
        const auto version = negotiate(path);
        if (!version) {
            return std::unexpected(version.error());
        }
        program_ = Program{path, *version};
        return *program_;
    }
    const auto path = invocation_.environment.find("CNI_PATH");
    return refuse(Code::invalid_config, "IPAM plugin {} is not on CNI_PATH ({})", config_.ipam_type, path->second);
}

Outcome<std::string> PluginIpam::execute(const Environment& environment, std::span<const Ipv4Prefix> pod_cidrs) {
    const auto program = find();
    if (!program) {
        return std::unexpected(program.error());
    }
    const auto config = ipam_config(config_, pod_cidrs, program->version);
    const auto output = run_process(program->path, environment, config.dump(), plugin_timeout);
    if (!output) {
        return refuse_because(Code::io_failure, output.error());
    }
    if (output->exit_status != 0) {
        return std::unexpected(ipam_failure(config_.ipam_type, output->exit_status, output->standard_output));
    }
    return output->standard_output;
}

Outcome<IpamResult> PluginIpam::add(const AttachmentKey& who, std::span<const Ipv4Prefix> pod_cidrs) {
    const auto output = execute(environment_for("ADD", who), pod_cidrs);
    if (!output) {
        return std::unexpected(output.error());
    }
    return parse_ipam_result(json::parse(*output, nullptr, /*allow_exceptions=*/false));
}

Outcome<void> PluginIpam::reserve(const AttachmentKey& who, std::span<const Ipv4Prefix> pod_cidrs, Ipv4Address ip) {
    if (config_.ipam) {
        return refuse(Code::attachment_failed, "{} is in use by {}, and IPAM plugin {} handed it out again", ip,
                      who.container_id, config_.ipam_type);
    }
    auto environment = environment_for("ADD", who);
    environment["CNI_ARGS"] = fmt::format("IP={}", ip);
    return discard_output(execute(environment, pod_cidrs));
}

Outcome<void> PluginIpam::remove(const AttachmentKey& who) {
    return discard_output(execute(environment_for("DEL", who), {}));
}

Outcome<void> PluginIpam::check(const AttachmentKey& who) {
    const auto program = find();
    if (!program) {
        return std::unexpected(program.error());
    }
    if (program->version < version_0_4_0) {
        return {};
    }
    return discard_output(execute(environment_for("CHECK", who), {}));
}

std::vector<AttachmentKey> PluginIpam::holders() {
    std::vector<AttachmentKey> holders;
    if (config_.ipam_type != "host-local") {
        return holders;
    }
    const std::string directory = fmt::format("{}/{}", host_local_store(ipam_section(config_, {})), config_.name);
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
    while (const dirent* const entry = entries ? ::readdir(entries.get()) : nullptr) {
        if (auto who = read_reservation(directory, entry->d_name)) {
            holders.push_back(std::move(*who));
        }
    }
    return holders;
}

Outcome<void> PluginIpam::run_if_spoken(const char* command) {
    const auto program = find();
    if (!program) {
        return std::unexpected(program.error());
    }
    if (program->version < version_1_1_0) {
        return {};
    }
    return discard_output(execute(environment_for(command, {}), {}));
}

Outcome<void> PluginIpam::status() {
    return run_if_spoken("STATUS");
}

Outcome<void> PluginIpam::collect_garbage() {
    return run_if_spoken("GC");
}

}  // namespace podlane::cni
