// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/agent_client.h"

#include <curl/curl.h>

#include <cstdint>
#include <memory>

namespace podlane {
namespace {

struct FreeCurl {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t append(const char* data, std::size_t size, std::size_t count, void* body) {
    static_cast<std::string*>(body)->append(data, size * count);
    return size * count;
}

// curl says "could not connect"; errno says why.
std::unexpected<Error> unanswered(CURL* handle, CURLcode code, const std::filesystem::path& socket) {
    long system_error = 0;
    curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &system_error);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return fail_errno(ETIMEDOUT, "no answer from the agent on {}", socket.native());
    }
    if (code == CURLE_COULDNT_CONNECT && system_error != 0) {
        return fail_errno(static_cast<int>(system_error), "no agent answers on {}", socket.native());
    }
    return fail("no answer from the agent on {}: {}", socket.native(), curl_easy_strerror(code));
}

}  // namespace

Result<AgentReply> AgentClient::call(const AgentCall& call) const {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    const std::unique_ptr<CURL, FreeCurl> handle(ready == CURLE_OK ? curl_easy_init() : nullptr);
    if (!handle) {
        return fail("start libcurl: out of memory");
    }
    // No "Expect: 100-continue": the agent takes what we send, and the wait for its consent would be the longest part.
    const std::unique_ptr<curl_slist, FreeList> headers(
        curl_slist_append(curl_slist_append(nullptr, "Expect:"), "Content-Type: application/json"));
    const std::string url = fmt::format("http://agent{}", call.path);
    const std::string method(call.method);
    const std::string body(call.body);
    AgentReply reply;
    curl_easy_setopt(handle.get(), CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
    curl_easy_setopt(handle.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle.get(), CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(handle.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
    curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_.count()));
    curl_easy_setopt(handle.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle.get(), CURLOPT_NOPROXY, "*");
    curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, &append);
    curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &reply.body);
    if (!body.empty()) {
        curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDS, body.c_str());
        curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    }
    const CURLcode code = curl_easy_perform(handle.get());
    if (code != CURLE_OK) {
        return unanswered(handle.get(), code, socket_);
    }
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &reply.status);
    return reply;
}

}  // namespace podlane
