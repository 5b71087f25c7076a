// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "maps/base/address.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

// IPv4 address conflict detection, RFC 5227, cut short: a container's start waits for it. Three probes 200 ms apart
// and 300 ms for the last answer, where the RFC has seconds and random delays against whole networks that are switched
// on at once; one announcement, as the kernel's arp_notify sends it, where the RFC has two.
namespace podlane::cni {

inline constexpr int probe_count = 3;
inline constexpr std::chrono::milliseconds probe_interval{200};
inline constexpr std::chrono::milliseconds last_probe_wait{300};

// Ethernet header and ARP packet, without padding.
using ArpFrame = std::array<std::uint8_t, 42>;

// A broadcast request. A probe has sender 0.0.0.0, an announcement asks for its own address.
[[nodiscard]] ArpFrame arp_request(const MacAddress& sender_mac, Ipv4Address sender, Ipv4Address target);
// The MAC of another host that the frame shows to have `address`, or to probe for it at this moment.
[[nodiscard]] std::optional<MacAddress> rival_in(std::span<const std::uint8_t> frame, Ipv4Address address,
                                                 const MacAddress& own_mac);

// Who asks, and for whom.
struct ArpQuestion {
    Ipv4Address sender;
    Ipv4Address target;
};
// Whether the frame is the target's reply to the question, sent to this MAC alone.
[[nodiscard]] bool is_answer_in(std::span<const std::uint8_t> frame, const ArpQuestion& question,
                                const MacAddress& own_mac);

// ARP on one interface, in the network namespace that it was opened in.
class ArpSocket {
public:
    [[nodiscard]] static Result<ArpSocket> open(int interface_index, const MacAddress& own_mac);

    // Takes 0.7 s when nobody answers. Nothing: the address is free as far as the LAN tells.
    [[nodiscard]] Result<std::optional<MacAddress>> probe(Ipv4Address address) const;
    [[nodiscard]] Result<void> announce(Ipv4Address address) const;

    // For an event loop: ask() sends one request, has_answer() reads what has come since, without waiting.
    [[nodiscard]] int fd() const { return socket_.get(); }
    [[nodiscard]] Result<void> ask(const ArpQuestion& question) const;
    [[nodiscard]] Result<bool> has_answer(const ArpQuestion& question) const;

private:
    ArpSocket(Fd socket, const MacAddress& own_mac) : socket_(std::move(socket)), own_mac_(own_mac) {}
    [[nodiscard]] Result<void> send(const ArpFrame& frame) const;
    [[nodiscard]] Result<std::optional<MacAddress>> listen(Ipv4Address address, std::chrono::milliseconds wait) const;

    Fd socket_;
    MacAddress own_mac_;
};

}  // namespace podlane::cni
