// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "test/net/harness/error.h"
#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

Fd open_tun(const DeviceRef& device) {
    Fd tun = in_namespace(device.ns, [&] {
        Fd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
        ifreq request{};
        request.ifr_flags = IFF_TUN | IFF_NO_PI;
        device.name.copy(static_cast<char*>(request.ifr_name), IFNAMSIZ - 1);
        if (!fd.valid() || ioctl(fd.get(), TUNSETIFF, &request) != 0) {
            raise_errno("make the tun device {}", device.name);
        }
        return fd;
    });
    set_sysctl(device.ns, fmt::format("net/ipv6/conf/{}/disable_ipv6", device.name), "1");
    ip(device.ns, fmt::format("link set {} up", device.name));
    return tun;
}

// A packet that the other end refuses is lost, as on any wire.
void carry(const Fd& from, const Fd& to) {
    std::array<char, 65536> packet{};
    for (ssize_t length = 0; (length = read(from.get(), packet.data(), packet.size())) > 0;) {
        [[maybe_unused]] const auto written = write(to.get(), packet.data(), static_cast<std::size_t>(length));
    }
}

}  // namespace

TunWire::TunWire(const DeviceRef& one, const DeviceRef& other)
    : one_(open_tun(one)), other_(open_tun(other)), carrier_([this](const std::stop_token& stop) {
          constexpr int look_for_stop_ms = 50;
          std::array<pollfd, 2> readable = {{{one_.get(), POLLIN, 0}, {other_.get(), POLLIN, 0}}};
          while (!stop.stop_requested()) {
              if (poll(readable.data(), readable.size(), look_for_stop_ms) > 0) {
                  carry(one_, other_);
                  carry(other_, one_);
              }
          }
      }) {}

}  // namespace podlane::net
