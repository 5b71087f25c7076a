// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "agent/cni/arp.h"
#include "agent/event_loop.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane {

// Whether a gateway answers ARP on a device, asked several times within a patience, in the event loop.
class GatewayQuestion {
public:
    struct Asked {
        std::uint32_t ifindex = 0;
        MacAddress mac{};  // of the device
        cni::ArpQuestion question{};
    };
    using Done = std::function<void(bool answered)>;

    // `done` is called once, from the loop, and may destroy the question. Dropping the question ends it without.
    [[nodiscard]] static Result<std::unique_ptr<GatewayQuestion>> ask(EventLoop& loop, const Asked& asked,
                                                                      std::chrono::milliseconds patience, Done done);
    GatewayQuestion(const GatewayQuestion&) = delete;
    GatewayQuestion& operator=(const GatewayQuestion&) = delete;
    ~GatewayQuestion() = default;

private:
    GatewayQuestion(cni::ArpSocket socket, const cni::ArpQuestion& question, Done done)
        : socket_(std::move(socket)), question_(question), done_(std::move(done)) {}
    [[nodiscard]] Result<void> start(EventLoop& loop, std::chrono::milliseconds patience);
    void read();
    void finish(bool answered);

    cni::ArpSocket socket_;
    cni::ArpQuestion question_;
    Done done_;
    EventLoop::Watch readable_;
    EventLoop::Watch again_;
    EventLoop::Watch deadline_;
};

}  // namespace podlane
