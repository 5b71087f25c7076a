// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "maps/base/fd.h"
#include "test/support/answer.h"
#include "test/support/tls_authority.h"

namespace podlane::test {

// A real TLS server on 127.0.0.1, in the network namespace of the thread that makes it, a thread to each connection.
class ReplayServer {
public:
    // `request` is the whole head of a request, and over HTTP/1.1 its body. Called by one connection at a time.
    using Handler = std::function<Answer(const std::string& request)>;

    enum class Protocol { http1, http2 };

    struct Options {
        const Identity* identity = nullptr;
        std::string client_authority = std::string();  // PEM; set: clients must show a certificate of it
        std::uint16_t port = 0;                        // 0: any
        Protocol protocol = Protocol::http1;
    };

    ReplayServer(const Options& options, Handler handler);
    ReplayServer(const ReplayServer&) = delete;
    ReplayServer& operator=(const ReplayServer&) = delete;
    // Cuts every connection.
    ~ReplayServer();

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::string url() const;
    // The first lines of all requests so far: "GET /api/v1/nodes HTTP/1.1".
    [[nodiscard]] std::vector<std::string> requests() const;
    [[nodiscard]] std::size_t connections() const { return connection_count_; }

private:
    struct FreeContext {
        void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    };
    struct FreeSsl {
        void operator()(SSL* ssl) const { SSL_free(ssl); }
    };

    void listen_at(std::uint16_t port);
    void accept_connections();
    void serve(int socket);
    [[nodiscard]] bool wait_for_bytes(int socket, const SSL* ssl) const;
    [[nodiscard]] Answer ask(const std::string& request);
    void serve_http1(int socket, SSL* ssl);
    void serve_http2(int socket, SSL* ssl);
    [[nodiscard]] std::string read_request(int socket, SSL* ssl) const;
    [[nodiscard]] bool send_answer(SSL* ssl, const Answer& answer) const;

    Handler handler_;
    std::unique_ptr<SSL_CTX, FreeContext> context_;
    Fd listener_;
    std::uint16_t port_ = 0;
    std::atomic<bool> stopping_ = false;
    std::atomic<std::size_t> connection_count_ = 0;
    mutable std::mutex mutex_;
    std::vector<std::string> requests_;
    std::vector<std::thread> connections_;
    std::thread acceptor_;
};

}  // namespace podlane::test
