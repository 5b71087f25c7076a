// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "maps/base/address.h"
#include "maps/base/fd.h"
#include "test/net/harness/namespace.h"

// Real traffic between two namespaces, checked byte by byte. Both ends run in this process.
namespace podlane::net {

// Where traffic starts or ends.
struct Endpoint {
    const Namespace* ns = nullptr;
    Ipv4Address address;
    // Of a server: where clients find it, when somebody translates. The port stays.
    Ipv4Address known_as = {};
    [[nodiscard]] Ipv4Address reached_at() const { return known_as.is_unspecified() ? address : known_as; }
};

// What went wrong, in words; empty when nothing did.
struct Outcome {
    std::string problem;
    Ipv4Address client_seen_as;  // the client's address as the server saw it

    [[nodiscard]] bool ok() const { return problem.empty(); }
};

// What exchange_tcp sends each way when it is asked for so much: less where PODLANE_TEST_BULK_LIMIT says so
// (emulation).
[[nodiscard]] std::uint64_t at_most_bulk_limit(std::uint64_t bytes);

// Sends `bytes` of a stream in which every word depends on its position, compares it at the server, and the same in
// the other direction over the same connection. `timeout` is for one step without progress. An emulated machine takes
// seconds for ten megabytes: $PODLANE_TEST_BULK_LIMIT is the most that is sent, bytes.
[[nodiscard]] Outcome exchange_tcp(const Endpoint& client, const Endpoint& server, std::uint64_t bytes,
                                   std::chrono::seconds timeout = std::chrono::seconds(10));

// Opens `count` connections, all of them before the first is used; on each a message of its own is echoed.
enum class ClientPorts : std::uint8_t { kept, translated };
[[nodiscard]] Outcome exchange_on_parallel_connections(const Endpoint& client, const Endpoint& server, unsigned count,
                                                       ClientPorts ports = ClientPorts::kept);

// Sends one datagram of each size and waits for its echo, which must be the same bytes.
[[nodiscard]] Outcome echo_udp(const Endpoint& client, const Endpoint& server, const std::vector<std::size_t>& sizes);

// /bin/ping.
struct PingOutcome {
    unsigned sent = 0;
    unsigned answered = 0;
    std::string output;
};
[[nodiscard]] PingOutcome ping(const Namespace& from, Ipv4Address to, unsigned count = 3);

// What a datagram that was sent with a certain TTL met, as the sender's socket was told by ICMP.
struct ProbeOutcome {
    enum class Kind : std::uint8_t {
        reached,  // port unreachable, from the destination itself
        time_exceeded,
        unreachable,  // any other kind of unreachable
        silence,
    };
    Kind kind = Kind::silence;
    Ipv4Address from;  // who said so
};
[[nodiscard]] ProbeOutcome probe_udp(const Namespace& from, Ipv4Address to, int ttl);

// The TTL and TOS with which one datagram arrives.
struct Arrival {
    bool arrived = false;
    int ttl = 0;
    int tos = 0;
    Ipv4Address from;
};
struct SendOptions {
    int ttl = 64;
    int tos = 0;
};
[[nodiscard]] Arrival send_one_datagram(const Endpoint& client, const Endpoint& server, const SendOptions& options);

// Numbered datagrams, one each millisecond, echoed by the server, from construction until stop().
class UdpStream {
public:
    UdpStream(const Endpoint& client, const Endpoint& server);
    UdpStream(const UdpStream&) = delete;
    UdpStream& operator=(const UdpStream&) = delete;
    ~UdpStream() = default;

    struct Totals {
        std::size_t sent = 0;
        std::size_t at_server = 0;        // different ones
        std::size_t echoed = 0;           // different ones
        std::vector<std::size_t> lost{};  // the numbers, from 0 on, of those without an echo
    };
    // Ends the sending, leaves late answers three seconds, and counts.
    [[nodiscard]] Totals stop();
    // So far.
    [[nodiscard]] std::size_t sent() const { return sent_; }
    [[nodiscard]] std::size_t echoed() const { return echoed_; }

private:
    void send_numbers(const std::stop_token& stop);
    void echo_numbers(const std::stop_token& stop);
    void read_echoes(const std::stop_token& stop);

    Fd client_;
    Fd server_;
    std::atomic<std::size_t> sent_{0};
    std::atomic<std::size_t> at_server_{0};
    std::atomic<std::size_t> echoed_{0};
    std::vector<bool> came_back_;  // by number; the reader's, read after its end
    std::jthread echoer_;
    std::jthread reader_;
    std::jthread sender_;
};

// One TCP connection that carries a bulk transfer, with DF set as Linux does, from construction until stop().
class TcpStream {
public:
    TcpStream(const Endpoint& client, const Endpoint& server);
    TcpStream(const TcpStream&) = delete;
    TcpStream& operator=(const TcpStream&) = delete;
    ~TcpStream() = default;

    // Bytes that the server has read so far.
    [[nodiscard]] std::uint64_t received() const { return received_; }
    // Ends it. What went wrong, in words; empty when nothing did.
    [[nodiscard]] std::string stop();

private:
    void send_parts(const std::stop_token& stop);
    void read_parts(const std::stop_token& stop);

    Fd client_;
    Fd server_;
    std::atomic<std::uint64_t> received_{0};
    std::string problem_;  // the sender's; read after its end
    std::jthread reader_;
    std::jthread sender_;
};

}  // namespace podlane::net
