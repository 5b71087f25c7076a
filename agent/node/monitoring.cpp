// SPDX-License-Identifier: Apache-2.0
#include "agent/node/monitoring.h"

#include <algorithm>
#include <utility>

#include "agent/log.h"
#include "agent/node/metrics.h"
#include "agent/observe/exposition.h"
#include "maps/map_handle.h"

namespace podlane {
namespace {

constexpr unsigned unavailable = 503;
constexpr auto retry_period = std::chrono::seconds(1);
// From one part of a count of the maps' entries to the next, and from one count to the next.
constexpr auto census_period = std::chrono::milliseconds(250);
constexpr auto census_pause = std::chrono::seconds(5);
// However many ask, and however often: the loop has other work.
constexpr auto metrics_age = std::chrono::milliseconds(250);
// Whoever is slow on purpose takes a place: there are enough for those who are not.
constexpr HttpLimits limits = {.body_bytes = 1024, .connections = 128, .idle_timeout = std::chrono::seconds(5)};

std::string text_of(const ListenAddress& address) {
    const bool ipv6 = address.host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", ipv6 ? "[" : "", address.host, ipv6 ? "]" : "", address.port);
}

HttpResponse plain(unsigned status, std::string text) {
    return {.status = status, .body = std::move(text), .content_type = "text/plain; charset=utf-8", .headers = {}};
}

constexpr std::string_view mark_of(HealthState state) {
    switch (state) {
        case HealthState::ok:
            return "[+]";
        case HealthState::degraded:
            return "[!]";
        case HealthState::failed:
            return "[-]";
    }
    return "[-]";
}

}  // namespace

HttpResponse readiness(const NodeAgent& agent, Detail detail) {
    std::string text;
    if (detail == Detail::verbose) {
        for (const auto& one : agent.health().subsystems()) {
            // Of pods the reason names some, and whoever asks here has shown nothing.
            const auto reason = one.name == "pods" ? std::string_view() : std::string_view(one.reason);
            text += fmt::format("{}{} {}{}{}\n", mark_of(one.state), one.name, to_string(one.state),
                                reason.empty() ? "" : ": ", reason);
        }
    }
    const auto problem = agent.not_ready();
    return plain(problem ? unavailable : 200, text + (problem ? "not ready: " + *problem : "ready") + '\n');
}

Monitoring::Monitoring(EventLoop& loop, const NodeAgent& agent, ListenAddress address)
    : loop_(loop),
      agent_(agent),
      address_(std::move(address)),
      census_(map_pin_directory(agent.settings().config.bpffs)) {}

Result<std::unique_ptr<Monitoring>> Monitoring::start(EventLoop& loop, const NodeAgent& agent, ListenAddress address) {
    std::unique_ptr<Monitoring> monitoring(new Monitoring(loop, agent, std::move(address)));
    auto counting = loop.every(census_period, [self = monitoring.get()] { self->count_maps(); });
    if (!counting) {
        return std::unexpected(counting.error());
    }
    monitoring->counting_ = std::move(*counting);
    monitoring->listen();
    return monitoring;
}

void Monitoring::listen() {
    retry_.cancel();
    const auto served = serve();
    if (served) {
        log::info("{}: answers /healthz, /readyz and /metrics", text_of(address_));
        return;
    }
    if (served.error().message != problem_) {
        problem_ = served.error().message;
        log::warning("listen {}: no health checks and no metrics: {}; it is tried again", text_of(address_), problem_);
    }
    auto timer = loop_.after(retry_period, [this] { listen(); });
    if (timer) {
        retry_ = std::move(*timer);
    } else {
        log::error("listen {}: {}", text_of(address_), timer.error().message);
    }
}

Result<void> Monitoring::serve() {
    auto listener = listen_tcp(address_.host, address_.port);
    if (!listener) {
        return std::unexpected(listener.error());
    }
    auto server = HttpServer::create(loop_, std::move(*listener), limits);
    if (!server) {
        return std::unexpected(server.error());
    }
    server_ = std::move(*server);
    // That the loop has come to answer is what there is to know: nothing that a restart would not mend.
    server_->handle("GET", "/healthz", [](const HttpRequest&) { return plain(200, "ok\n"); });
    server_->handle("GET", "/readyz", [this](const HttpRequest& request) {
        const bool verbose = std::ranges::find(request.query, "verbose") != request.query.end();
        return readiness(agent_, verbose ? Detail::verbose : Detail::brief);
    });
    server_->handle("GET", "/metrics", [this](const HttpRequest&) {
        return HttpResponse{
            .status = 200, .body = metrics(), .content_type = std::string(Exposition::content_type), .headers = {}};
    });
    return {};
}

void Monitoring::count_maps() {
    const auto now = Clock::now();
    if (now >= next_round_ && census_.step()) {
        next_round_ = now + census_pause;
    }
}

const std::string& Monitoring::metrics() {
    const auto now = Clock::now();
    if (metrics_.empty() || now - metrics_at_ > metrics_age) {
        metrics_ = metrics_text(agent_, census_);
        metrics_at_ = Clock::now();
    }
    return metrics_;
}

}  // namespace podlane
