// SPDX-License-Identifier: Apache-2.0
#include "agent/node/reload.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "agent/log.h"

namespace podlane {
namespace {

// Editors and ConfigMaps change a file in several steps.
constexpr auto settle_time = std::chrono::milliseconds(100);

std::string read_text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string config_file_of(const Overrides& flags) {
    const auto host = read_host_facts();
    const auto environment = host.environment.find("PODLANE_CONFIG");
    if (flags.config) {
        return std::filesystem::absolute(*flags.config).string();
    }
    if (environment != host.environment.end() && !environment->second.empty()) {
        return std::filesystem::absolute(environment->second).string();
    }
    return host.default_config;
}

}  // namespace

Reload::Reload(EventLoop& loop, ProgramStart start, NodeAgent& agent, ServiceManager& service)
    : loop_(loop),
      start_(std::move(start)),
      agent_(agent),
      service_(service),
      file_(config_file_of(start_.flags)),
      text_(read_text(file_)) {}

Result<std::unique_ptr<Reload>> Reload::create(EventLoop& loop, const ProgramStart& start, NodeAgent& agent,
                                               ServiceManager& service) {
    std::unique_ptr<Reload> reload(new Reload(loop, start, agent, service));
    if (auto watched = reload->watch_file(); !watched) {
        return std::unexpected(watched.error());
    }
    return reload;
}

Result<void> Reload::watch_file() {
    const auto directory = std::filesystem::path(file_).parent_path();
    std::error_code error;
    if (!std::filesystem::is_directory(directory, error)) {
        return {};
    }
    inotify_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify_.valid() ||
        inotify_add_watch(inotify_.get(), directory.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE) < 0) {
        return fail_errno(errno, "watch {}", directory.string());
    }
    auto watch = loop_.watch(inotify_.get(), EPOLLIN, [this](std::uint32_t) { on_event(); });
    if (!watch) {
        return std::unexpected(watch.error());
    }
    watch_ = std::move(*watch);
    return {};
}

void Reload::on_event() {
    std::array<char, 4096> events{};
    while (read(inotify_.get(), events.data(), events.size()) > 0) {
        // What changed in the directory does not matter: the file's text decides.
    }
    auto timer = loop_.after(settle_time, [this] {
        pending_.cancel();
        if (read_text(file_) != text_) {
            now();
        }
    });
    if (timer) {
        pending_ = std::move(*timer);
    }
}

void Reload::now() {
    const auto text = read_text(file_);
    const auto config = load_config(start_.flags, read_host_facts());
    const auto checked = config ? start_.check(*config) : std::unexpected(config.error());
    if (!checked) {
        log::error("configuration not reloaded: {}", checked.error().message);
        agent_.report_config_problem(checked.error().message);
        return;
    }
    agent_.report_config_problem({});
    restart();
    text_ = text;
}

void Reload::restart() {
    log::info("configuration changed: starting anew");
    service_.reloading();
    execv("/proc/self/exe", start_.arguments);
    log::error("start anew: {}", std::generic_category().message(errno));
    service_.stays();
}

}  // namespace podlane
