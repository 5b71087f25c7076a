// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/event_loop.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

struct HttpRequest {
    std::string method{};              // "GET"
    std::string path{};                // "/v1/endpoints/abc-eth0": percent-encoded as it came, without the query
    std::vector<std::string> query{};  // names of the arguments behind "?", as they came; values are for nobody yet
    std::string id{};                  // what stands for {id} in the handler's pattern; empty when the pattern has none
    std::string body{};
};

struct HttpResponse {
    unsigned status = 200;
    std::string body{};
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers{};  // further ones

    // {"error": message}
    [[nodiscard]] static HttpResponse error(unsigned status, std::string_view message);
};

struct HttpLimits {
    std::size_t body_bytes = 1U << 20U;
    unsigned connections = 64;              // further ones wait in the listening socket's backlog
    std::chrono::seconds idle_timeout{10};  // a connection that sends or takes nothing for so long is closed
};

// HTTP/1.1 inside the agent's event loop, without threads: the handlers run between its other callbacks and answer
// at once. Uses libmicrohttpd, because parsing HTTP from whoever connects is a trade of its own and not podlane's.
//
// A request that no handler takes is answered with {"error": ...}: 404 for an unknown path, 405 (and Allow) for an
// unknown method of a known path, 413 for a body over the limit. An exception from a handler becomes 500. HEAD is
// answered by GET's handler. A request that is no HTTP is answered by the library: 400, connection closed.
class HttpServer {
public:
    using Handler = std::function<HttpResponse(const HttpRequest&)>;

    // Serves connections of `listener`, a listening stream socket (unix or TCP), from now on. `loop` must outlive
    // the server.
    [[nodiscard]] static Result<std::unique_ptr<HttpServer>> create(EventLoop& loop, Fd listener,
                                                                    const HttpLimits& limits = {});
    virtual ~HttpServer() = default;
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // `pattern` is a path, which may end in one "{id}": "/v1/endpoints/{id}" takes any non-empty rest without a
    // slash, percent-decoded (400 when a slash, a blank or a control character comes out). A method and pattern that
    // are already there are replaced.
    virtual void handle(std::string_view method, std::string_view pattern, Handler handler) = 0;

protected:
    HttpServer() = default;
};

// A listening TCP socket. `host`: an IPv4 or IPv6 address, without brackets. EADDRINUSE, EADDRNOTAVAIL: another time.
[[nodiscard]] Result<Fd> listen_tcp(const std::string& host, std::uint16_t port);

// A listening unix socket with mode 0600. A stale socket file (nobody answers on it) is replaced; one on which a
// process listens is an error (EADDRINUSE), so that two agents never share a run directory. The file stays when the
// descriptor is closed.
[[nodiscard]] Result<Fd> listen_unix(const std::filesystem::path& path);

}  // namespace podlane
