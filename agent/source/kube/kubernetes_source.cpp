// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/kubernetes_source.h"

#include <cerrno>
#include <utility>

#include "agent/log.h"
#include "agent/source/source_log.h"
#include "agent/source/state_cache.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Changes that come together are told together.
constexpr milliseconds coalescing(20);
// So long may a server take to answer before the saved state is begun with; a failure ends the wait.
constexpr milliseconds patience = seconds(3);
// Of every object: where in which answer it stood says nothing.
constexpr const char* origin = "Kubernetes API";

}  // namespace

Result<std::unique_ptr<KubernetesSource>> KubernetesSource::create(EventLoop& loop, Options options) {
    auto client = HttpClient::create(loop);
    if (!client) {
        return std::unexpected(client.error());
    }
    return std::unique_ptr<KubernetesSource>(new KubernetesSource(loop, std::move(options), std::move(*client)));
}

KubernetesSource::KubernetesSource(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client)
    : loop_(loop),
      options_(std::move(options)),
      client_(std::move(client)),
      nodes_(loop, *client_, reflector_options(KubeKind::node), [this] { take_change(); }),
      pods_(loop, *client_, reflector_options(KubeKind::pod), [this] { take_change(); }),
      keeper_(loop, options_.cache_file, [this] {
          return SavedState{
              .node_name = options_.node_name, .server = server_, .saved_at = now_as_text(), .objects = objects_};
      }) {}

KubeReflector::Options KubernetesSource::reflector_options(KubeKind kind) {
    return {.decode = {.kind = kind, .node_name = options_.node_name, .origin = origin},
            .access = options_.access,
            .random = [this] { return std::uniform_real_distribution(0.0, 1.0)(random_); }};
}

Result<void> KubernetesSource::start() {
    const auto access = read_access(options_.access);
    if (!access) {
        return std::unexpected(access.error());
    }
    server_ = access->server;
    read_cache();
    schedule(patience_, patience, &KubernetesSource::end_patience);
    nodes_.start();
    pods_.start();
    return {};
}

void KubernetesSource::reload() {
    nodes_.restart();
    pods_.restart();
}

void KubernetesSource::read_cache() {
    if (options_.cache_file.empty()) {
        return;
    }
    auto saved =
        load_state(options_.cache_file,
                   {.node_name = options_.node_name, .server = server_, .saved_at = "", .objects = {}}, origin);
    if (!saved) {
        if (saved.error().code != ENOENT) {
            log::warning("cluster state: no saved state: {}", saved.error().message);
        }
        return;
    }
    saved_at_ = saved->saved_at;
    nodes_.remember({.nodes = std::move(saved->objects.nodes), .pods = {}});
    pods_.remember({.nodes = {}, .pods = std::move(saved->objects.pods)});
}

void KubernetesSource::take_change() {
    if (!publish_timer_.active()) {
        schedule(publish_timer_, coalescing, &KubernetesSource::publish);
    }
}

void KubernetesSource::end_patience() {
    patient_ = false;
    publish();
}

// What the reflectors hold is a whole state: read from the server, or the saved one when the server does not answer.
bool KubernetesSource::usable() const {
    const bool from_server = nodes_.in_sync() && pods_.in_sync();
    return from_server || health_.in_sync || (!saved_at_.empty() && !patient_);
}

void KubernetesSource::publish() {
    patient_ = patient_ && nodes_.problem().empty() && pods_.problem().empty();
    bool objects_changed = false;
    SourceHealth health{.in_sync = usable(), .problem = {}, .warnings = nodes_.warnings()};
    if (health.in_sync) {
        patience_.cancel();
        ClusterObjects objects{.nodes = nodes_.objects().nodes, .pods = pods_.objects().pods};
        objects_changed = objects != objects_;
        objects_ = std::move(objects);
    }
    health.problem = problem();
    health.warnings.insert(health.warnings.end(), pods_.warnings().begin(), pods_.warnings().end());
    const bool health_changed = health != health_;
    std::swap(health, health_);
    log_changes(health, *this, server_);
    unsaved_ = unsaved_ || objects_changed;
    if (unsaved_ && nodes_.in_sync() && pods_.in_sync()) {
        keeper_.changed();
        unsaved_ = false;
    }
    if ((objects_changed || health_changed) && on_change_) {
        on_change_();
    }
}

std::string KubernetesSource::problem() const {
    const auto& first = nodes_.problem().empty() ? pods_.problem() : nodes_.problem();
    const bool begun_with_saved = usable() && (!nodes_.in_sync() || !pods_.in_sync());
    if (!begun_with_saved) {
        return first;
    }
    return fmt::format("{}; begun with the state of {}, saved in {}",
                       first.empty() ? fmt::format("{}: no answer yet", server_) : first, saved_at_,
                       options_.cache_file);
}

void KubernetesSource::schedule(EventLoop::Watch& timer, milliseconds delay, void (KubernetesSource::*action)()) {
    auto armed = loop_.after(delay, [this, &timer, action] {
        timer.cancel();
        (this->*action)();
    });
    if (armed) {
        timer = std::move(*armed);
    } else {
        log::error("cluster state: {}", armed.error().message);
    }
}

}  // namespace podlane
