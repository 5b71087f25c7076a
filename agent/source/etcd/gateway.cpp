// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/gateway.h"

#include <algorithm>
#include <utility>

#include "agent/files.h"
#include "agent/source/etcd/messages.h"

namespace podlane::etcd {
namespace {

constexpr int http_ok = 200;
// 5,000 nodes take some 2 MB.
constexpr std::size_t largest_answer = 64UL * 1024 * 1024;

Result<void> read_into(const std::string& path, std::string& text) {
    if (path.empty()) {
        return {};
    }
    auto read = read_small_file(path);
    if (!read) {
        return std::unexpected(read.error());
    }
    text = std::move(*read);
    return {};
}

constexpr std::string_view kind = "etcd:";

}  // namespace

std::string describe(const Access& access, const std::string& prefix) {
    return fmt::format("{}{}:{}", kind, fmt::join(access.endpoints, ","), prefix);
}

bool is_described_by(const Access& access, const std::string& prefix, std::string_view word) {
    const auto end = ':' + prefix;
    if (!word.starts_with(kind) || !word.ends_with(end) || word.size() < kind.size() + end.size()) {
        return false;
    }
    const auto endpoints = fmt::format(",{},", word.substr(kind.size(), word.size() - kind.size() - end.size()));
    return std::ranges::any_of(access.endpoints, [&](const std::string& endpoint) {
        return endpoints.find(fmt::format(",{},", endpoint)) != std::string::npos;
    });
}

Result<std::unique_ptr<HttpCall>> Gateway::post(const Request& request, HttpEvents events) {
    HttpQuery query;
    query.url = endpoint(request.endpoint) + request.path;
    query.headers = {"Content-Type: application/json", "User-Agent: podlane-agent/" PODLANE_VERSION};
    query.timeouts = request.timeouts;
    query.method = HttpMethod::post;
    query.body = request.body;
    for (const auto& [path, text] :
         {std::pair(&access_.ca_file, &query.tls.ca_pem), std::pair(&access_.cert_file, &query.tls.certificate_pem),
          std::pair(&access_.key_file, &query.tls.key_pem)}) {
        if (auto read = read_into(*path, *text); !read) {
            return std::unexpected(read.error());
        }
    }
    return client_.start(query, std::move(events));
}

Result<void> UnaryCall::start(Gateway& gateway, const Gateway::Request& request, Done done) {
    using Then = HttpEvents::Then;
    answer_ = {};
    done_ = std::move(done);
    auto call = gateway.post(request, {.head =
                                           [this](const HttpHead& head) {
                                               answer_.status = head.status;
                                               return Then::go_on;
                                           },
                                       .body =
                                           [this](std::string_view bytes) {
                                               answer_.body += bytes;
                                               return answer_.body.size() > largest_answer ? Then::stop : Then::go_on;
                                           },
                                       .done = [this](const Result<void>& result) { take_end(result); }});
    if (!call) {
        return std::unexpected(call.error());
    }
    call_ = std::move(*call);
    return {};
}

void UnaryCall::take_end(const Result<void>& result) {
    const auto ended = std::exchange(call_, nullptr);
    const auto done = std::exchange(done_, nullptr);
    auto answer = std::exchange(answer_, {});
    if (answer.status != 0 && answer.status != http_ok) {
        answer.problem = describe_refusal(answer.status, answer.body);
    } else if (!result) {
        answer.problem = result.error().message;
    } else if (answer.body.size() > largest_answer) {
        answer.problem = fmt::format("the answer is larger than {} bytes", largest_answer);
    }
    done(answer);
}

}  // namespace podlane::etcd
