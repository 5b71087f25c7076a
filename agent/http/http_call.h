// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>

#include "agent/event_loop.h"
#include "agent/http/http_client.h"

namespace podlane {

struct FreeEasy {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// One request. Within the library only: users hold it, and destroy it.
class HttpCall {
public:
    // `client` lives longer.
    HttpCall(HttpClient& client, HttpEvents events) : client_(client), events_(std::move(events)) {}
    HttpCall(const HttpCall&) = delete;
    HttpCall& operator=(const HttpCall&) = delete;
    ~HttpCall();

    [[nodiscard]] Result<void> begin(const HttpQuery& request);
    // libcurl is through with it. Calls `done`, which may destroy this.
    void finish(CURLcode code);

private:
    using Clock = std::chrono::steady_clock;

    void set_options(const HttpQuery& request);
    void set_method(const HttpQuery& request);
    void set_tls(const TlsSettings& tls);
    void set_connect_to(const HttpQuery& request);
    [[nodiscard]] Clock::time_point deadline() const;
    [[nodiscard]] Result<void> watch_time();
    void look_at_time();
    [[nodiscard]] HttpEvents::Then tell_head();
    [[nodiscard]] std::string reason(CURLcode code) const;
    static std::size_t header(char* data, std::size_t size, std::size_t count, void* call);
    static std::size_t write(char* data, std::size_t size, std::size_t count, void* call);

    HttpClient& client_;
    HttpEvents events_;
    std::unique_ptr<CURL, FreeEasy> handle_;
    std::unique_ptr<curl_slist, FreeList> headers_;
    std::unique_ptr<curl_slist, FreeList> connect_to_;
    std::array<char, CURL_ERROR_SIZE> error_text_{};
    bool added_ = false;
    bool head_told_ = false;
    bool stopped_ = false;
    HttpTimeouts timeouts_;
    Clock::time_point began_;
    Clock::time_point heard_;  // last
    EventLoop::Watch timer_;
    std::string timed_out_;  // which time was passed
};

}  // namespace podlane
