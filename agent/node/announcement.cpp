// SPDX-License-Identifier: Apache-2.0
#include "agent/node/announcement.h"

#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/files.h"
#include "agent/node/subnet_env.h"

namespace podlane {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto look_period = std::chrono::milliseconds(500);
constexpr std::string_view default_run_dir = "/run/podlane";  // the plugin's

Result<std::string> wanted_text(const std::string& template_file, const std::string& run_dir) {
    if (template_file.empty()) {
        return default_cni_configuration(run_dir);
    }
    auto text = read_small_file(template_file);
    if (!text) {
        return text;
    }
    if (const auto good = check_cni_configuration(*text); !good) {
        return fail("{}: {}", template_file, good.error().message);
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

Announcement::Announcement(const NodeAgent& agent, const CniFileConfig& cni, std::function<void()> ready)
    : agent_(agent),
      ready_(std::move(ready)),
      subnet_("subnet.env", (std::filesystem::path(agent.settings().config.run_dir) / "subnet.env").string(),
              Readers::everybody),
      cni_template_(cni.template_file),
      cni_("cni.configFile", cni.config_file, Readers::root) {}

Result<std::unique_ptr<Announcement>> Announcement::start(EventLoop& loop, const NodeAgent& agent,
                                                          const CniFileConfig& cni, std::function<void()> ready) {
    std::unique_ptr<Announcement> announcement(new Announcement(agent, cni, std::move(ready)));
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
    const auto& config = agent_.settings().config;
    subnet_.keep(
        subnet_env(config.cluster_cidrs.front(), agent_.cluster().self()->pod_cidrs.front(), agent_.pod_mtu()));
    if (ready_) {
        ready_();
    }
    if (!cni_.path().empty()) {
        cni_.keep(wanted_text(cni_template_, config.run_dir));
    }
}

}  // namespace podlane
