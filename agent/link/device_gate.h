// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace podlane {

// Whether a device that podlane makes may be up. Without the programs at its hooks the overlay device would pass
// packets of every VNI and sender to the host's stack, and a shim would answer the LAN's ARP requests for the host.
enum class DeviceGate {
    closed,  // the programs are not attached yet: the device is made, and stays down; one that is up stays up
    open,
};

}  // namespace podlane
