// SPDX-License-Identifier: Apache-2.0
#include "agent/node/announcement.h"

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/files.h"
#include "agent/log.h"

namespace podlane {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto look_period = std::chrono::milliseconds(500);
constexpr std::string_view default_run_dir = "/run/podlane";  // the plugin's

Result<std::string> wanted_text(const CniFileConfig& cni, const std::string& run_dir) {
    if (cni.template_file.empty()) {
        return default_cni_configuration(run_dir);
    }
    auto text = read_small_file(cni.template_file);
    if (!text) {
        return text;
    }
    if (const auto good = check_cni_configuration(*text); !good) {
        return fail("{}: {}", cni.template_file, good.error().message);
    }
    return text;
}

}  // namespace

std::string default_cni_configuration(const std::string& run_dir) {
    Json plugin = {{"type", "podlane"}};
    if (run_dir != default_run_dir) {
        plugin["runDir"] = run_dir;
    }
    const Json portmap = {{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}};
    const Json list = {{"cniVersion", "1.0.0"}, {"name", "podlane"}, {"plugins", Json::array({plugin, portmap})}};
    return list.dump(2) + '\n';
}

Result<void> check_cni_configuration(const std::string& text) {
    const auto object = Json::parse(text, nullptr, false);
    if (!object.is_object()) {
        return fail("no CNI configuration: not a JSON object");
    }
    const bool is_list = object.contains("plugins") && object["plugins"].is_array() && !object["plugins"].empty();
    if (!object.contains("name") || (!is_list && !object.contains("type"))) {
        return fail("no CNI configuration: it needs a name, and plugins or a type");
    }
    return {};
}

Result<std::unique_ptr<Announcement>> Announcement::start(EventLoop& loop, const NodeAgent& agent, CniFileConfig cni,
                                                          std::function<void()> up) {
    std::unique_ptr<Announcement> announcement(new Announcement(agent, std::move(cni), std::move(up)));
    auto timer = loop.every(look_period, [self = announcement.get()] { self->look(); });
    if (!timer) {
        return std::unexpected(timer.error());
    }
    announcement->timer_ = std::move(*timer);
    return announcement;
}

void Announcement::look() {
    if (agent_.not_ready()) {
        return;
    }
    if (up_) {
        std::exchange(up_, nullptr)();
    }
    if (cni_.config_file.empty()) {
        return;
    }
    const auto written = write_cni_file();
    auto problem = written ? std::string() : written.error().message;
    if (!problem.empty() && problem != problem_) {
        log::warning("cni.configFile: {}; it is tried again", problem);
    }
    problem_ = std::move(problem);
}

Result<void> Announcement::write_cni_file() {
    const auto wanted = wanted_text(cni_, agent_.settings().config.run_dir);
    if (!wanted) {
        return std::unexpected(wanted.error());
    }
    const auto present = read_small_file(cni_.config_file);
    if (present && *present == *wanted) {
        written_ = true;
        return {};
    }
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(cni_.config_file).parent_path(), error);
    if (error) {
        return fail_errno(error.value(), "create the directory of {}", cni_.config_file);
    }
    if (auto done = write_private_file(cni_.config_file, *wanted); !done) {
        return done;
    }
    log::info("{} {}", cni_.config_file, std::exchange(written_, true) ? "written again" : "written: pods can come");
    return {};
}

}  // namespace podlane
