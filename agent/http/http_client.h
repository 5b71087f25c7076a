// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/event_loop.h"
#include "maps/base/result.h"

namespace podlane {

// Whom to trust and what to show, as PEM texts: nothing is read from files while a request runs.
struct TlsSettings {
    std::string ca_pem = std::string();  // empty: the system's certificate authorities
    bool verify = true;
    std::string certificate_pem = std::string();  // the client's; empty: none
    std::string key_pem = std::string();
    std::string server_name = std::string();  // whom the certificate must name; empty: the host of the URL
};

// Each begins anew where it says so; a request that passes one of them fails.
struct HttpTimeouts {
    std::chrono::milliseconds connect = std::chrono::seconds(10);  // TCP and TLS
    std::chrono::milliseconds head = std::chrono::seconds(75);     // from the start to the answer's head
    std::chrono::milliseconds silence{0};                          // from one piece of the answer to the next; 0: any
    std::chrono::milliseconds total{0};                            // all of it; 0: any
};

enum class HttpMethod { get, post, patch };

struct HttpQuery {
    std::string url;
    std::vector<std::string> headers;  // "Name: value"
    TlsSettings tls;
    HttpTimeouts timeouts;
    HttpMethod method = HttpMethod::get;
    std::string body = std::string();  // what to POST or to PATCH with
};

struct HttpHead {
    int status = 0;
    std::optional<std::chrono::seconds> retry_after = std::nullopt;
};

// What a request tells. `head` and `body` are called from within libcurl: they may end the request by saying so, but
// neither destroy a call nor start one. `done` is the last, and may do both.
struct HttpEvents {
    enum class Then { go_on, stop };
    std::function<Then(const HttpHead& head)> head;
    std::function<Then(std::string_view bytes)> body;  // decompressed
    // An error: the answer is not complete. One that was stopped ends without.
    std::function<void(const Result<void>& result)> done;
};

class HttpCall;

// GET, POST and PATCH requests over HTTP/1.1 and HTTP/2, on kept connections, in the event loop.
class HttpClient {
public:
    // The loop must outlive the client.
    [[nodiscard]] static Result<std::unique_ptr<HttpClient>> create(EventLoop& loop);
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;
    ~HttpClient();

    // A request runs as long as the call lives; destroying it ends the request without another word. The client must
    // outlive it.
    [[nodiscard]] Result<std::unique_ptr<HttpCall>> start(const HttpQuery& request, HttpEvents events);

private:
    friend class HttpCall;
    struct Multi;
    explicit HttpClient(EventLoop& loop);

    void socket_changed(int socket, int what);
    void set_timer(long milliseconds);
    void act(int socket, int events);
    void collect();

    EventLoop& loop_;
    std::unique_ptr<Multi> multi_;
};

}  // namespace podlane
