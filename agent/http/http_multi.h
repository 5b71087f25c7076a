// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <curl/curl.h>

#include <map>
#include <memory>

#include "agent/event_loop.h"
#include "agent/http/http_client.h"

namespace podlane {

struct FreeMulti {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};

// What stands between libcurl and the event loop.
struct HttpClient::Multi {
    std::map<int, EventLoop::Watch> sockets;
    EventLoop::Watch timer;
    std::unique_ptr<CURLM, FreeMulti> handle;
};

}  // namespace podlane
