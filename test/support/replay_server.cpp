// SPDX-License-Identifier: Apache-2.0
#include "test/support/replay_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "test/support/http2_session.h"

namespace podlane::test {
namespace {

constexpr int look_ms = 20;  // so often does a waiting thread ask whether the server ends

void require(bool good, const char* what) {
    if (!good) {
        throw std::system_error(errno, std::generic_category(), what);
    }
}

void offer_http2(SSL_CTX* context) {
    SSL_CTX_set_alpn_select_cb(
        context,
        [](SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered, unsigned size,
           void*) {
            constexpr std::string_view wanted = "\x02h2";
            const auto at = std::string_view(reinterpret_cast<const char*>(offered), size).find(wanted);
            if (at == std::string_view::npos) {
                return SSL_TLSEXT_ERR_NOACK;
            }
            *chosen = offered + at + 1;
            *length = 2;
            return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
}

}  // namespace

ReplayServer::ReplayServer(const Options& options, Handler handler)
    : handler_(std::move(handler)), context_(SSL_CTX_new(TLS_server_method())) {
    std::signal(SIGPIPE, SIG_IGN);
    SSL_CTX* const context = context_.get();
    require(SSL_CTX_use_certificate(context, options.identity->certificate.get()) == 1, "use a certificate");
    require(SSL_CTX_use_PrivateKey(context, options.identity->key.get()) == 1, "use a key");
    if (!options.client_authority.empty()) {
        BIO* const bio =
            BIO_new_mem_buf(options.client_authority.data(), static_cast<int>(options.client_authority.size()));
        const Certificate authority(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
        BIO_free(bio);
        require(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) == 1, "trust an authority");
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    if (options.protocol == Protocol::http2) {
        offer_http2(context);
    }
    listen_at(options.port);
    acceptor_ = std::thread([this] { accept_connections(); });
}

ReplayServer::~ReplayServer() {
    stopping_ = true;
    acceptor_.join();
    for (auto& connection : connections_) {
        connection.join();
    }
}

std::string ReplayServer::url() const {
    return fmt::format("https://127.0.0.1:{}", port_);
}

std::vector<std::string> ReplayServer::requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
}

void ReplayServer::listen_at(std::uint16_t port) {
    listener_ = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    require(listener_.valid(), "make a socket");
    const int on = 1;
    setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    require(bind(listener_.get(), generic, sizeof(address)) == 0, "bind");
    require(listen(listener_.get(), 16) == 0, "listen");
    socklen_t size = sizeof(address);
    require(getsockname(listener_.get(), generic, &size) == 0, "read a socket's name");
    port_ = ntohs(address.sin_port);
}

void ReplayServer::accept_connections() {
    while (!stopping_) {
        pollfd waiting{.fd = listener_.get(), .events = POLLIN, .revents = 0};
        if (poll(&waiting, 1, look_ms) <= 0) {
            continue;
        }
        const int socket = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (socket >= 0) {
            ++connection_count_;
            connections_.emplace_back([this, socket] { serve(socket); });
        }
    }
}

void ReplayServer::serve(int socket) {
    const Fd owned(socket);
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(context_.get()));
    SSL_set_fd(ssl.get(), socket);
    if (!wait_for_bytes(socket, ssl.get()) || SSL_accept(ssl.get()) != 1) {
        return;
    }
    const unsigned char* protocol = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl.get(), &protocol, &length);
    if (length == 2) {
        serve_http2(socket, ssl.get());
    } else {
        serve_http1(socket, ssl.get());
    }
}

Answer ReplayServer::ask(const std::string& request) {
    const std::scoped_lock lock(mutex_);
    requests_.push_back(request.substr(0, request.find("\r\n")));
    return handler_(request);
}

void ReplayServer::serve_http1(int socket, SSL* ssl) {
    for (;;) {
        const auto request = read_request(socket, ssl);
        if (request.empty()) {
            return;
        }
        const auto answer = ask(request);
        if (!send_answer(ssl, answer) || answer.then == Answer::Then::close) {
            return;
        }
        if (answer.then == Answer::Then::hold) {
            static_cast<void>(wait_for_bytes(socket, ssl));
            return;
        }
    }
}

void ReplayServer::serve_http2(int socket, SSL* ssl) {
    Http2Session session([this](const std::string& request) { return ask(request); });
    std::array<char, 16384> block{};
    while (!session.is_cut()) {
        for (auto bytes = session.send(); !bytes.empty(); bytes = session.send()) {
            if (SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size())) != static_cast<int>(bytes.size())) {
                return;
            }
        }
        if (session.is_cut() || !wait_for_bytes(socket, ssl)) {
            return;
        }
        const int size = SSL_read(ssl, block.data(), static_cast<int>(block.size()));
        if (size <= 0 || !session.receive(std::string_view(block.data(), static_cast<std::size_t>(size)))) {
            return;
        }
    }
}

bool ReplayServer::wait_for_bytes(int socket, const SSL* ssl) const {
    while (!stopping_) {
        pollfd waiting{.fd = socket, .events = POLLIN, .revents = 0};
        if (SSL_pending(ssl) > 0 || poll(&waiting, 1, look_ms) > 0) {
            return true;
        }
    }
    return false;
}

std::string ReplayServer::read_request(int socket, SSL* ssl) const {
    std::string request;
    while (!request.ends_with("\r\n\r\n")) {
        char byte = 0;
        if (!wait_for_bytes(socket, ssl) || SSL_read(ssl, &byte, 1) != 1) {
            return {};
        }
        request += byte;
    }
    constexpr std::string_view length = "\r\nContent-Length: ";
    const auto at = request.find(length);
    const auto size = request.size() + (at == std::string::npos ? 0 : std::stoul(request.substr(at + length.size())));
    while (request.size() < size) {
        char byte = 0;
        if (!wait_for_bytes(socket, ssl) || SSL_read(ssl, &byte, 1) != 1) {
            return {};
        }
        request += byte;
    }
    return request;
}

bool ReplayServer::send_answer(SSL* ssl, const Answer& answer) const {
    std::string_view rest = answer.bytes;
    while (!rest.empty() && !stopping_) {
        std::this_thread::sleep_for(answer.pause);
        const auto piece = rest.substr(0, answer.piece);
        if (SSL_write(ssl, piece.data(), static_cast<int>(piece.size())) != static_cast<int>(piece.size())) {
            return false;
        }
        rest.remove_prefix(piece.size());
    }
    return rest.empty();
}

}  // namespace podlane::test
