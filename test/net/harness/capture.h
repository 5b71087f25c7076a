// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "maps/base/fd.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/packet.h"

namespace podlane::net {

// A frame as an AF_PACKET socket saw it. Offloads have not happened yet on the sender's side: such a frame may be
// larger than the MTU, and its transport checksum unfinished.
struct Frame {
    Bytes bytes;             // at most Capture::kept_bytes of them
    std::size_t length = 0;  // of the whole frame
    bool outgoing = false;   // sent by the device's own namespace, not received
};

using FrameFilter = std::function<bool(const Frame&)>;

// Keeps the frames of one device for which `filter` holds, from construction on.
class Capture {
public:
    static constexpr std::size_t kept_bytes = 4096;

    Capture(const Namespace& ns, const std::string& device, FrameFilter filter);
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    ~Capture() = default;

    // What was kept so far. Everything that was on the device before the call is in it.
    [[nodiscard]] std::vector<Frame> frames();
    // The first frame kept, as soon as there is one.
    [[nodiscard]] std::optional<Frame> wait_for_frame(std::chrono::milliseconds timeout);
    // Frames that the kernel could not hand over in time. A test that says "never" needs 0.
    [[nodiscard]] unsigned lost();

private:
    void read_frames(const std::stop_token& stop);
    bool read_one(Bytes& buffer);

    FrameFilter filter_;
    Fd socket_;
    std::mutex mutex_;
    std::vector<Frame> frames_;
    unsigned lost_ = 0;
    std::jthread reader_;
};

[[nodiscard]] FrameFilter every_frame();
[[nodiscard]] FrameFilter vxlan_frames(std::uint16_t port);

// Puts frames on a device as they are.
class RawSender {
public:
    RawSender(const Namespace& ns, const std::string& device);
    void send(ByteView frame) const;

private:
    Fd socket_;
};

}  // namespace podlane::net
