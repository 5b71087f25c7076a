// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "agent/config/config_file.h"
#include "agent/config/validate.h"

// NOLINTNEXTLINE(readability-redundant-declaration): POSIX wants it of the program; glibc has it beside
extern char** environ;

namespace podlane {
namespace {

// Far more than any configuration needs: a wrong file is not read to its end.
constexpr std::uintmax_t largest_file = 1024UL * 1024;

struct OverrideVariable {
    std::string_view name;
    std::optional<std::string> Overrides::* target;
};
constexpr auto override_variables = std::to_array<OverrideVariable>({
    {"PODLANE_CONFIG", &Overrides::config},
    {"PODLANE_NODE_NAME", &Overrides::node_name},
    {"PODLANE_RUN_DIR", &Overrides::run_dir},
    {"PODLANE_BPFFS", &Overrides::bpffs},
    {"PODLANE_STATE_FILE", &Overrides::state_file},
    {"PODLANE_UNDERLAY", &Overrides::underlay},
    {"PODLANE_LOG_LEVEL", &Overrides::log_level},
    {"PODLANE_LOG_FORMAT", &Overrides::log_format},
});

// Empty where it is not set: both mean the same.
std::string variable(const HostFacts& host, std::string_view name) {
    const auto found = host.environment.find(std::string(name));
    return found == host.environment.end() ? std::string() : found->second;
}

Overrides with_environment(const Overrides& flags, const HostFacts& host) {
    Overrides result = flags;
    for (const auto& [name, target] : override_variables) {
        auto value = variable(host, name);
        if (!(result.*target) && !value.empty()) {
            result.*target = std::move(value);
        }
    }
    return result;
}

std::string absolute(const std::string& path, const HostFacts& host) {
    if (path.empty()) {
        return path;
    }
    auto normal = (std::filesystem::path(host.current_directory) / path).lexically_normal().string();
    while (normal.size() > 1 && normal.ends_with('/')) {
        normal.pop_back();
    }
    return normal;
}

Result<std::string> read_file(const std::string& path) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error) {
        return fail_errno(error.value(), "read {}", path);
    }
    if (size > largest_file) {
        return fail("read {}: larger than {} bytes", path, largest_file);
    }
    std::ifstream file(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file) {
        return fail_errno(errno == 0 ? EIO : errno, "read {}", path);
    }
    return text;
}

Result<void> apply_file(const Overrides& overrides, const HostFacts& host, Config& config) {
    std::error_code error;
    if (!overrides.config && !std::filesystem::exists(host.default_config, error)) {
        return {};
    }
    const auto path = overrides.config ? absolute(*overrides.config, host) : host.default_config;
    const auto text = read_file(path);
    if (!text) {
        return std::unexpected(text.error());
    }
    return apply_config_text(*text, path, config);
}

Result<void> apply_log_overrides(const Overrides& overrides, Config& config) {
    if (overrides.log_level) {
        const auto level = log::parse_level(*overrides.log_level);
        if (!level) {
            return fail_within("log level", level.error());
        }
        config.log_level = *level;
    }
    if (overrides.log_format) {
        const auto format = log::parse_format(*overrides.log_format);
        if (!format) {
            return fail_within("log format", format.error());
        }
        config.log_format = *format;
    }
    return {};
}

void apply_overrides(const Overrides& overrides, const HostFacts& host, Config& config) {
    config.node_name = overrides.node_name.value_or(config.node_name);
    config.underlay.device = overrides.underlay.value_or(config.underlay.device);
    config.run_dir = absolute(overrides.run_dir.value_or(config.run_dir), host);
    config.bpffs = absolute(overrides.bpffs.value_or(config.bpffs), host);
    if (overrides.state_file) {
        config.state.source = StateSource::file;
        config.state.file = *overrides.state_file;
    }
    config.state.file = absolute(config.state.file, host);
}

// The kubelet registers its node under the host's name in lower case.
std::string lower_case(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

Result<Config> complete(Config config, const HostFacts& host) {
    if (config.node_name.empty()) {
        config.node_name = variable(host, "NODE_NAME");
    }
    if (config.node_name.empty()) {
        config.node_name = lower_case(host.host_name);
    }
    if (config.snat.port_range.low == 0) {
        config.snat.port_range = default_port_range(host.ephemeral_ports).value_or(PortRange{});
    }
    if (auto good = validate(config, host); !good) {
        return std::unexpected(good.error());
    }
    return config;
}

}  // namespace

Result<Config> load_config(const Overrides& flags, const HostFacts& host) {
    const auto overrides = with_environment(flags, host);
    Config config;
    if (auto applied = apply_file(overrides, host, config); !applied) {
        return std::unexpected(applied.error());
    }
    if (auto applied = apply_log_overrides(overrides, config); !applied) {
        return std::unexpected(applied.error());
    }
    apply_overrides(overrides, host, config);
    return complete(std::move(config), host);
}

Result<Config> parse_config(std::string_view text, std::string_view name, const HostFacts& host) {
    Config config;
    if (auto applied = apply_config_text(text, name, config); !applied) {
        return std::unexpected(applied.error());
    }
    return complete(std::move(config), host);
}

HostFacts read_host_facts() {
    HostFacts host;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const auto equals = text.find('=');
        if (equals != std::string_view::npos) {
            host.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
        }
    }
    std::array<char, HOST_NAME_MAX + 1> name{};
    if (gethostname(name.data(), name.size() - 1) == 0) {
        host.host_name = name.data();
    }
    unsigned low = 0;
    unsigned high = 0;
    std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
    if (range >> low >> high && low <= high && high <= 65535) {
        host.ephemeral_ports = {static_cast<std::uint16_t>(low), static_cast<std::uint16_t>(high)};
    }
    std::error_code error;
    host.current_directory = std::filesystem::current_path(error).string();
    return host;
}

}  // namespace podlane
