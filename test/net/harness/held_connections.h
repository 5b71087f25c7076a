// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "test/net/harness/socket.h"
#include "test/net/harness/traffic.h"

namespace podlane::net {

// TCP connections to one listener that are all open at once. Raises the limit of open files.
class HeldConnections {
public:
    explicit HeldConnections(const Endpoint& server);

    // Opens so many more, one after the other; `port`: of the first client's socket, host byte order, 0 for any. What
    // went wrong, in words: those before it stay open.
    [[nodiscard]] std::string open(const Endpoint& client, unsigned count, std::uint16_t port = 0);
    // A message of its own on each, there and back. What went wrong, in words.
    [[nodiscard]] std::string echo_on_each() const;
    // Ends the first so many: by a RST of the client's, or by the FINs of both, the client's first.
    void reset(std::size_t count);
    void finish(std::size_t count);

    [[nodiscard]] std::size_t count() const { return pairs_.size(); }
    [[nodiscard]] const SocketAddress& at() const { return at_; }
    // As the server saw the last client.
    [[nodiscard]] const SocketAddress& last_seen_as() const { return pairs_.back().seen_as; }
    // The ports that the server sees now; as many as connections, for they differ.
    [[nodiscard]] std::set<std::uint16_t> ports_seen() const;
    // The same of addresses.
    [[nodiscard]] std::set<Ipv4Address> addresses_seen() const;

private:
    struct Pair {
        Fd client;
        Fd server;
        SocketAddress seen_as;
    };
    Fd listener_;
    SocketAddress at_;
    std::vector<Pair> pairs_;
};

}  // namespace podlane::net
