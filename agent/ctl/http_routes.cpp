// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/http_routes.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <optional>
#include <utility>

#include "agent/log.h"

namespace podlane {
namespace {

constexpr std::string_view id_placeholder = "{id}";

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    while (!text.empty()) {
        if (text.front() != '%') {
            decoded += text.front();
            text.remove_prefix(1);
            continue;
        }
        unsigned byte = 0;
        if (text.size() < 3 || std::from_chars(text.data() + 1, text.data() + 3, byte, 16).ptr != text.data() + 3) {
            return std::nullopt;
        }
        decoded += static_cast<char>(byte);
        text.remove_prefix(3);
    }
    return decoded;
}

// Handlers make file names of it: nothing that could lead elsewhere.
bool is_harmless(std::string_view id) {
    const bool plain = std::ranges::all_of(id, [](char c) { return c > ' ' && c != '/' && c != '\x7f'; });
    return plain && !id.empty() && id != "." && id != "..";
}

HttpResponse run(const HttpServer::Handler& handler, const HttpRequest& request) {
    try {
        return handler(request);
    } catch (const std::exception& bug) {
        log::error("{} {}: {}", request.method, request.path, bug.what());
        return HttpResponse::error(500, fmt::format("internal error: {}", bug.what()));
    }
}

}  // namespace

void HttpRoutes::add(std::string_view method, std::string_view pattern, HttpServer::Handler handler) {
    const bool takes_id = pattern.ends_with(id_placeholder);
    pattern.remove_suffix(takes_id ? id_placeholder.size() : 0);
    std::erase_if(routes_, [&](const Route& route) {
        return route.method == method && route.pattern == pattern && route.takes_id == takes_id;
    });
    routes_.push_back({std::string(method), std::string(pattern), takes_id, std::move(handler)});
}

bool HttpRoutes::matches(const Route& route, std::string_view path) {
    if (!route.takes_id) {
        return path == route.pattern;
    }
    return path.starts_with(route.pattern) && path.size() > route.pattern.size() &&
           path.find('/', route.pattern.size()) == std::string_view::npos;
}

HttpResponse HttpRoutes::answer(HttpRequest request) const {
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    std::string allowed;
    for (const Route& route : routes_) {
        if (!matches(route, request.path)) {
            continue;
        }
        if (route.method != method) {
            allowed += (allowed.empty() ? "" : ", ") + route.method;
            continue;
        }
        if (route.takes_id) {
            const auto id = percent_decoded(std::string_view(request.path).substr(route.pattern.size()));
            if (!id || !is_harmless(*id)) {
                return HttpResponse::error(400, fmt::format("{}: this is no id", request.path));
            }
            request.id = *id;
        }
        return run(route.handler, request);
    }
    if (allowed.empty()) {
        return HttpResponse::error(404, fmt::format("there is no {}", request.path));
    }
    auto refusal = HttpResponse::error(405, fmt::format("{} takes {}, not {}", request.path, allowed, request.method));
    refusal.headers.emplace_back("Allow", allowed);
    return refusal;
}

}  // namespace podlane
