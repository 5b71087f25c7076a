// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/http/http_call.h"
#include "agent/http/http_client.h"

namespace podlane::etcd {

// Where etcd is and how it is spoken to. The files are read anew for every request: certificates are replaced while
// the agent runs.
struct Access {
    std::vector<std::string> endpoints;  // "https://10.0.0.1:2379"
    std::string ca_file;                 // empty: the system's certificate authorities
    std::string cert_file;               // with its key; both or none
    std::string key_file;
};

// Names the cluster in one word: "etcd:https://10.0.0.1:2379,https://10.0.0.2:2379:/coreos.com/network".
[[nodiscard]] std::string describe(const Access& access, const std::string& prefix);
// A word of before names the same one: members come and go, but one of them is in both.
[[nodiscard]] bool is_described_by(const Access& access, const std::string& prefix, std::string_view word);

// etcd's JSON gateway.
class Gateway {
public:
    // `client` lives longer.
    Gateway(HttpClient& client, Access access) : client_(client), access_(std::move(access)) {}

    struct Request {
        std::size_t endpoint = 0;
        std::string path;  // "/v3/kv/range"
        std::string body;
        HttpTimeouts timeouts;
    };
    [[nodiscard]] Result<std::unique_ptr<HttpCall>> post(const Request& request, HttpEvents events);

    [[nodiscard]] const std::string& endpoint(std::size_t index) const { return access_.endpoints[index]; }
    [[nodiscard]] std::size_t endpoints() const { return access_.endpoints.size(); }

private:
    HttpClient& client_;
    const Access access_;
};

// One request at a time, whose answer is taken whole.
class UnaryCall {
public:
    struct Answer {
        int status = 0;  // of HTTP; 0: none
        std::string body;
        std::string problem;  // empty: 200, and complete
        [[nodiscard]] bool good() const { return problem.empty(); }
    };
    using Done = std::function<void(const Answer& answer)>;

    // `done` may start the next one, or destroy this. An error: it could not be begun, `done` is not called.
    [[nodiscard]] Result<void> start(Gateway& gateway, const Gateway::Request& request, Done done);
    void cancel() { call_.reset(); }

private:
    void take_end(const Result<void>& result);

    std::unique_ptr<HttpCall> call_;
    Done done_;
    Answer answer_;
};

}  // namespace podlane::etcd
