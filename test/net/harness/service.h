// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "maps/base/fd.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/socket.h"

// Services, as a client sees them: many connections, or datagrams, to an address that somebody translates.
namespace podlane::net {

enum class Transport : bool { tcp, udp };

// A backend that tells each client its own name and the client's address as it saw it: "echo-1 10.244.1.5". TCP: on
// each connection once for every line, until the client closes it. UDP: for each datagram.
class Backend {
public:
    // `at` must be an address of `ns`; raises when it cannot be bound.
    Backend(const Namespace& ns, const SocketAddress& at, Transport transport, std::string name);
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    ~Backend() = default;

private:
    void serve_connections(const std::stop_token& stop) const;
    void serve_datagrams(const std::stop_token& stop) const;

    std::string name_;
    Fd socket_;
    std::jthread server_;
};

// What the backends said, and how often: "echo-1 10.244.1.5" -> 150.
struct Served {
    std::string problem;  // what went wrong first; empty when nothing did
    std::map<std::string, unsigned> by;

    [[nodiscard]] unsigned total() const;
};

// Connects (or sends from a new socket) `count` times, one after the other, asks and hears the answer. Ends with the
// first problem.
[[nodiscard]] Served ask_service(const Namespace& from, const SocketAddress& service, unsigned count,
                                 Transport transport = Transport::tcp);

// From one and the same UDP socket asks each of `services` in turn, `rounds` times; the answer must come from the
// address that was asked.
[[nodiscard]] Served ask_in_turn(const Namespace& from, const std::vector<SocketAddress>& services, unsigned rounds);

// One connection that is kept.
class LongConnection {
public:
    LongConnection(const Namespace& from, const SocketAddress& service);
    // What the backend answers now; empty when the connection is broken.
    [[nodiscard]] std::string ask() const;

private:
    Fd socket_;
    bool connected_;
};

}  // namespace podlane::net
