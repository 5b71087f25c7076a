// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/ctl/http_server.h"

namespace podlane {

// Which handler answers a request: methods and path patterns, of which the last segment may be {id}. Pure, knows
// nothing of sockets.
class HttpRoutes {
public:
    // Replaces a handler of the same method and pattern.
    void add(std::string_view method, std::string_view pattern, HttpServer::Handler handler);
    // Runs the handler, or says why there is none: 400, 404, 405, or 500 when it threw. HEAD is answered by the
    // handler for GET (RFC 9110, 9.3.2). `request.path` is percent-encoded; the handler sees {id} decoded.
    [[nodiscard]] HttpResponse answer(HttpRequest request) const;

private:
    struct Route {
        std::string method;
        std::string pattern;  // without "{id}"
        bool takes_id;
        HttpServer::Handler handler;
    };
    [[nodiscard]] static bool matches(const Route& route, std::string_view path);

    std::vector<Route> routes_;
};

}  // namespace podlane
