// SPDX-License-Identifier: Apache-2.0
#include "agent/http/http_call.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/http/http_multi.h"
#include "agent/text/printable.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;

// A peer that is gone without a word is noticed within half a minute: a watch may be silent for minutes.
constexpr long keepalive_idle_s = 15;
constexpr long keepalive_interval_s = 5;
constexpr unsigned unacknowledged_ms = 30000;

// An agent that executes itself anew leaves no connection behind; libcurl of Debian 12 does not see to that.
int prepare_socket(void* /*data*/, curl_socket_t socket, curlsocktype /*purpose*/) {
    if (fcntl(socket, F_SETFD, FD_CLOEXEC) != 0) {
        return CURL_SOCKOPT_ERROR;
    }
    // Where this fails keepalive still does.
    static_cast<void>(setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms)));
    return CURL_SOCKOPT_OK;
}

std::string in_seconds(milliseconds time) {
    return fmt::format("{} s", std::chrono::duration<double>(time).count());
}

curl_blob blob_of(const std::string& text) {
    // libcurl copies: it takes a pointer to data that it does not write.
    return {.data = const_cast<char*>(text.data()),  // NOLINT(cppcoreguidelines-pro-type-const-cast)
            .len = text.size(),
            .flags = CURL_BLOB_COPY};
}

}  // namespace

HttpCall::~HttpCall() {
    if (added_) {
        curl_multi_remove_handle(client_.multi_->handle.get(), handle_.get());
    }
}

Result<void> HttpCall::begin(const HttpQuery& request) {
    handle_.reset(curl_easy_init());
    if (handle_ == nullptr) {
        return fail("start a request: out of memory");
    }
    timeouts_ = request.timeouts;
    began_ = Clock::now();
    heard_ = began_;
    set_options(request);
    set_method(request);
    set_tls(request.tls);
    set_connect_to(request);
    if (auto watched = watch_time(); !watched) {
        return watched;
    }
    const CURLMcode added = curl_multi_add_handle(client_.multi_->handle.get(), handle_.get());
    if (added != CURLM_OK) {
        return fail("start a request: {}", curl_multi_strerror(added));
    }
    added_ = true;
    return {};
}

void HttpCall::set_options(const HttpQuery& request) {
    CURL* const handle = handle_.get();
    for (const auto& header : request.headers) {
        // What is not null is the list's head, the same each time.
        curl_slist* const list = curl_slist_append(headers_.get(), header.c_str());
        if (headers_ == nullptr) {
            headers_.reset(list);
        }
    }
    curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(handle, CURLOPT_PRIVATE, this);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, &HttpCall::header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &HttpCall::write);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error_text_.data());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(handle, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    // libcurl would wait in the event loop for a name that its thread still looks up when the request is over.
    curl_easy_setopt(handle, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(handle, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.timeouts.connect.count()));
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPIDLE, keepalive_idle_s);
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPINTVL, keepalive_interval_s);
    curl_easy_setopt(handle, CURLOPT_SOCKOPTFUNCTION, &prepare_socket);
}

void HttpCall::set_method(const HttpQuery& request) {
    if (request.method == HttpMethod::get) {
        return;
    }
    curl_easy_setopt(handle_.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(handle_.get(), CURLOPT_COPYPOSTFIELDS, request.body.data());
    if (request.method == HttpMethod::patch) {
        curl_easy_setopt(handle_.get(), CURLOPT_CUSTOMREQUEST, "PATCH");
    }
}

void HttpCall::set_tls(const TlsSettings& tls) {
    CURL* const handle = handle_.get();
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
    if (!tls.ca_pem.empty()) {
        const auto authority = blob_of(tls.ca_pem);
        curl_easy_setopt(handle, CURLOPT_CAINFO_BLOB, &authority);
        curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
    }
    if (!tls.certificate_pem.empty()) {
        const auto certificate = blob_of(tls.certificate_pem);
        const auto key = blob_of(tls.key_pem);
        curl_easy_setopt(handle, CURLOPT_SSLCERTTYPE, "PEM");
        curl_easy_setopt(handle, CURLOPT_SSLKEYTYPE, "PEM");
        curl_easy_setopt(handle, CURLOPT_SSLCERT_BLOB, &certificate);
        curl_easy_setopt(handle, CURLOPT_SSLKEY_BLOB, &key);
    }
}

// libcurl takes the name to verify from the URL: it gets the wanted name there, and is sent to the real host.
void HttpCall::set_connect_to(const HttpQuery& request) {
    if (request.tls.server_name.empty()) {
        return;
    }
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
    char* host = nullptr;
    char* named = nullptr;
    if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, request.url.c_str(), 0) != CURLUE_OK ||
        curl_url_get(url.get(), CURLUPART_HOST, &host, 0) != CURLUE_OK) {
        return;  // libcurl will say what is wrong with the URL
    }
    const auto target = fmt::format("::{}:", host);
    curl_free(host);
    if (curl_url_set(url.get(), CURLUPART_HOST, request.tls.server_name.c_str(), 0) == CURLUE_OK &&
        curl_url_get(url.get(), CURLUPART_URL, &named, 0) == CURLUE_OK) {
        connect_to_.reset(curl_slist_append(nullptr, target.c_str()));
        curl_easy_setopt(handle_.get(), CURLOPT_URL, named);
        curl_easy_setopt(handle_.get(), CURLOPT_CONNECT_TO, connect_to_.get());
        curl_free(named);
    }
}

// Of the times that run now the one that is over first.
HttpCall::Clock::time_point HttpCall::deadline() const {
    auto first = Clock::time_point::max();
    const auto add = [&](Clock::time_point from, milliseconds time) {
        first = time.count() > 0 ? std::min(first, from + time) : first;
    };
    add(began_, timeouts_.total);
    if (head_told_) {
        add(heard_, timeouts_.silence);
    } else {
        add(began_, timeouts_.head);
    }
    return first;
}

// Sleeps until then: what is heard meanwhile only moves the deadline.
Result<void> HttpCall::watch_time() {
    timer_.cancel();
    const auto until = deadline();
    if (until == Clock::time_point::max()) {
        return {};
    }
    auto timer = client_.loop_.after(std::chrono::ceil<milliseconds>(until - Clock::now()) + milliseconds(1),
                                     [this] { look_at_time(); });
    if (!timer) {
        return std::unexpected(timer.error());
    }
    timer_ = std::move(*timer);
    return {};
}

void HttpCall::look_at_time() {
    const auto now = Clock::now();
    if (now < deadline()) {
        if (auto watched = watch_time(); !watched) {
            timed_out_ = watched.error().message;
            finish(CURLE_OPERATION_TIMEDOUT);
        }
        return;
    }
    if (timeouts_.total.count() > 0 && now >= began_ + timeouts_.total) {
        timed_out_ = fmt::format("not complete within {}", in_seconds(timeouts_.total));
    } else if (!head_told_) {
        timed_out_ = fmt::format("no answer within {}", in_seconds(timeouts_.head));
    } else {
        timed_out_ = fmt::format("silent for {}", in_seconds(timeouts_.silence));
    }
    finish(CURLE_OPERATION_TIMEDOUT);
}

void HttpCall::finish(CURLcode code) {
    timer_.cancel();
    curl_multi_remove_handle(client_.multi_->handle.get(), handle_.get());
    added_ = false;
    const auto done = std::move(events_.done);
    const Result<void> result = code == CURLE_OK || stopped_ ? Result<void>() : fail("{}", reason(code));
    done(result);
}

std::string HttpCall::reason(CURLcode code) const {
    if (!timed_out_.empty()) {
        return timed_out_;
    }
    // libcurl says that it could not connect; errno says why.
    long system_error = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_OS_ERRNO, &system_error);
    if (code == CURLE_COULDNT_CONNECT && system_error != 0) {
        return std::strerror(static_cast<int>(system_error));  // NOLINT(concurrency-mt-unsafe)
    }
    const std::string_view text(error_text_.data());
    return printable(text.empty() ? curl_easy_strerror(code) : text);
}

HttpEvents::Then HttpCall::tell_head() {
    long status = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(handle_.get(), CURLINFO_RETRY_AFTER, &retry_after);
    HttpHead head{.status = static_cast<int>(status)};
    if (retry_after > 0) {
        head.retry_after = std::chrono::seconds(retry_after);
    }
    return events_.head(head);
}

// One line of the head, or of what follows the body. The head ends with an empty line; one of 1xx comes before another.
std::size_t HttpCall::header(char* data, std::size_t size, std::size_t count, void* call) {
    auto& self = *static_cast<HttpCall*>(call);
    self.heard_ = Clock::now();
    long status = 0;
    curl_easy_getinfo(self.handle_.get(), CURLINFO_RESPONSE_CODE, &status);
    const std::string_view line(data, size * count);
    constexpr long first_final = 200;
    if (!self.head_told_ && (line == "\r\n" || line == "\n") && status >= first_final) {
        self.head_told_ = true;
        // Silence may be over sooner than the time that the head had.
        self.stopped_ = !self.watch_time() || self.tell_head() == HttpEvents::Then::stop;
    }
    return self.stopped_ ? 0 : size * count;
}

std::size_t HttpCall::write(char* data, std::size_t size, std::size_t count, void* call) {
    auto& self = *static_cast<HttpCall*>(call);
    self.heard_ = Clock::now();
    self.stopped_ = self.events_.body(std::string_view(data, size * count)) == HttpEvents::Then::stop;
    return self.stopped_ ? 0 : size * count;
}

}  // namespace podlane
