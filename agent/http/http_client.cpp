// SPDX-License-Identifier: Apache-2.0
#include "agent/http/http_client.h"

#include <sys/epoll.h>

#include <utility>

#include "agent/http/http_call.h"
#include "agent/http/http_multi.h"
#include "agent/log.h"

namespace podlane {
namespace {

std::uint32_t epoll_events(int what) {
    switch (what) {
        case CURL_POLL_IN:
            return EPOLLIN;
        case CURL_POLL_OUT:
            return EPOLLOUT;
        default:
            return EPOLLIN | EPOLLOUT;
    }
}

int curl_events(std::uint32_t events) {
    return ((events & (EPOLLIN | EPOLLHUP)) != 0 ? CURL_CSELECT_IN : 0) |
           ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) | ((events & EPOLLERR) != 0 ? CURL_CSELECT_ERR : 0);
}

}  // namespace

HttpClient::HttpClient(EventLoop& loop) : loop_(loop), multi_(std::make_unique<Multi>()) {}

// Closing kept connections would call back.
HttpClient::~HttpClient() {
    if (CURLM* const handle = multi_->handle.get()) {
        curl_multi_setopt(handle, CURLMOPT_SOCKETFUNCTION, nullptr);
        curl_multi_setopt(handle, CURLMOPT_TIMERFUNCTION, nullptr);
    }
    multi_->timer.cancel();
    multi_->sockets.clear();
}

Result<std::unique_ptr<HttpClient>> HttpClient::create(EventLoop& loop) {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    std::unique_ptr<HttpClient> client(new HttpClient(loop));
    client->multi_->handle.reset(ready == CURLE_OK ? curl_multi_init() : nullptr);
    CURLM* const handle = client->multi_->handle.get();
    if (handle == nullptr) {
        return fail("start libcurl: out of memory");
    }
    using SocketCallback = int (*)(CURL*, curl_socket_t, int, void*, void*);
    const SocketCallback on_socket = [](CURL* /*easy*/, curl_socket_t socket, int what, void* self, void* /*data*/) {
        static_cast<HttpClient*>(self)->socket_changed(socket, what);
        return 0;
    };
    using TimerCallback = int (*)(CURLM*, long, void*);
    const TimerCallback on_timer = [](CURLM* /*multi*/, long milliseconds, void* self) {
        static_cast<HttpClient*>(self)->set_timer(milliseconds);
        return 0;
    };
    curl_multi_setopt(handle, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(handle, CURLMOPT_SOCKETDATA, client.get());
    curl_multi_setopt(handle, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(handle, CURLMOPT_TIMERDATA, client.get());
    return client;
}

Result<std::unique_ptr<HttpCall>> HttpClient::start(const HttpQuery& request, HttpEvents events) {
    auto call = std::make_unique<HttpCall>(*this, std::move(events));
    if (auto begun = call->begin(request); !begun) {
        return std::unexpected(begun.error());
    }
    return call;
}

void HttpClient::socket_changed(int socket, int what) {
    multi_->sockets.erase(socket);
    if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE) {
        return;
    }
    auto watch = loop_.watch(socket, epoll_events(what),
                             [this, socket](std::uint32_t events) { act(socket, curl_events(events)); });
    if (watch) {
        multi_->sockets.emplace(socket, std::move(*watch));
    } else {
        log::error("HTTP: {}", watch.error().message);  // the request passes its time
    }
}

void HttpClient::set_timer(long milliseconds) {
    multi_->timer.cancel();
    if (milliseconds < 0) {
        return;
    }
    auto timer = loop_.after(std::chrono::milliseconds(milliseconds), [this] {
        multi_->timer.cancel();
        act(CURL_SOCKET_TIMEOUT, 0);
    });
    if (timer) {
        multi_->timer = std::move(*timer);
    } else {
        log::error("HTTP: {}", timer.error().message);
    }
}

void HttpClient::act(int socket, int events) {
    int running = 0;
    curl_multi_socket_action(multi_->handle.get(), socket, events, &running);
    collect();
}

// `done` may end and begin other requests: every message is asked for anew.
void HttpClient::collect() {
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(multi_->handle.get(), &left)) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        const CURLcode code = message->data.result;
        HttpCall* call = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        call->finish(code);
    }
}

}  // namespace podlane
