// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "loader/attach.h"
#include "maps/base/fd.h"
#include "test/prog/harness/node.h"

namespace podlane::prog {

// A program where it belongs: attached to the ingress of its device, with real packets from the other end of the veth
// pair. For what a test run cannot be given: frames shorter than their headers, VLAN tags that the kernel takes off.
// Detached when it goes.
class Wire {
public:
    Wire(Node& node, const At& at);
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;
    ~Wire();

    void send(const Bytes& frame) const;
    // What the node counted since the last call, once anything was; nothing when that took longer than a second.
    [[nodiscard]] Counted counted() const;

private:
    Node& node_;
    At at_;
    std::uint32_t ifindex_;
    Attacher attacher_;
    Fd socket_;
};

}  // namespace podlane::prog
