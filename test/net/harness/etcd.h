// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "test/net/harness/namespace.h"
#include "test/net/harness/process.h"
#include "test/net/harness/temp_dir.h"
#include "test/support/tls_authority.h"

namespace podlane::net {

// With a server's certificate it speaks TLS.
struct EtcdTls {
    const test::Identity* server = nullptr;        // null: plain HTTP
    std::string client_authority = std::string();  // PEM: clients must show a certificate of it
    const test::Identity* client = nullptr;        // of the test's own client
    std::string server_authority = std::string();
};

// Debian's etcd, one member, in a namespace of a test, and a client of its own (curl) that shares no code with podlane.
class Etcd {
public:
    // `address`: where it listens, at port 2379.
    Etcd(const Namespace& ns, std::string address, const EtcdTls& tls = {});

    // Begins, on the data that it had when it ended, and waits until it answers.
    void start();
    void stop();
    // Begins with no data at all next time.
    void wipe();
    [[nodiscard]] const std::string& url() const { return url_; }

    // The answer to a request: post("/v3/kv/range", {...}). Raises where there is none.
    [[nodiscard]] nlohmann::json post(const std::string& path, const nlohmann::json& request) const;
    void put(const std::string& key, const std::string& value, std::int64_t lease = 0) const;
    void remove(const std::string& key) const;
    // Empty: it is not there.
    struct Found {
        std::string value;
        std::int64_t lease = 0;
        std::int64_t revision = 0;
    };
    [[nodiscard]] Found get(const std::string& key) const;
    // All that begin so.
    [[nodiscard]] std::vector<std::string> keys(const std::string& prefix) const;
    [[nodiscard]] std::int64_t revision() const;

private:
    [[nodiscard]] std::string write(const std::string& name, const std::string& text) const;

    const Namespace& ns_;
    TempDir files_;
    std::string url_;
    std::vector<std::string> server_options_;
    std::vector<std::string> client_options_;
    std::unique_ptr<Process> process_;
};

}  // namespace podlane::net
