// SPDX-License-Identifier: Apache-2.0
#include "agent/node/device_features.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "maps/base/fd.h"

namespace podlane {
namespace {

constexpr std::uint32_t bits_per_block = 32;

// Requests to one device, each a header of the kernel's with an array of no declared length behind it.
class EthtoolDevice {
public:
    EthtoolDevice(const Fd& socket, const std::string& name) : socket_(socket), name_(name) {}

    // `buffer` begins with a `Header` that holds the command.
    [[nodiscard]] Result<void> request(std::vector<std::uint8_t>& buffer) const {
        ifreq device{};
        name_.copy(static_cast<char*>(device.ifr_name), IFNAMSIZ - 1);
        device.ifr_data = reinterpret_cast<char*>(buffer.data());
        if (ioctl(socket_.get(), SIOCETHTOOL, &device) != 0) {
            return fail_errno(errno, "ask for the offloads of {}", name_);
        }
        return {};
    }

private:
    const Fd& socket_;
    const std::string& name_;
};

template <typename Header>
std::vector<std::uint8_t> buffer_with(const Header& header, std::size_t behind) {
    std::vector<std::uint8_t> buffer(sizeof(header) + behind);
    std::memcpy(buffer.data(), &header, sizeof(header));
    return buffer;
}

Result<std::uint32_t> count_features(const EthtoolDevice& device) {
    ethtool_sset_info header{};
    header.cmd = ETHTOOL_GSSET_INFO;
    header.sset_mask = 1ULL << ETH_SS_FEATURES;
    auto buffer = buffer_with(header, sizeof(std::uint32_t));
    if (auto asked = device.request(buffer); !asked) {
        return std::unexpected(asked.error());
    }
    std::uint32_t count = 0;
    std::memcpy(&count, buffer.data() + sizeof(header), sizeof(count));
    return count;
}

Result<std::vector<std::string>> feature_names(const EthtoolDevice& device, std::uint32_t count) {
    ethtool_gstrings header{};
    header.cmd = ETHTOOL_GSTRINGS;
    header.string_set = ETH_SS_FEATURES;
    header.len = count;
    auto buffer = buffer_with(header, std::size_t{count} * ETH_GSTRING_LEN);
    if (auto asked = device.request(buffer); !asked) {
        return std::unexpected(asked.error());
    }
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto* text =
            reinterpret_cast<const char*>(buffer.data()) + sizeof(header) + std::size_t{i} * ETH_GSTRING_LEN;
        names.emplace_back(text, strnlen(text, ETH_GSTRING_LEN));
    }
    return names;
}

}  // namespace

Result<DeviceFeatures> read_features(const std::string& name) {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) {
        return fail_errno(errno, "open a socket");
    }
    const EthtoolDevice device(socket, name);
    const auto count = count_features(device);
    if (!count) {
        return std::unexpected(count.error());
    }
    const auto names = feature_names(device, *count);
    if (!names) {
        return std::unexpected(names.error());
    }
    ethtool_gfeatures header{};
    header.cmd = ETHTOOL_GFEATURES;
    header.size = (*count + bits_per_block - 1) / bits_per_block;
    auto buffer = buffer_with(header, header.size * sizeof(ethtool_get_features_block));
    if (auto asked = device.request(buffer); !asked) {
        return std::unexpected(asked.error());
    }
    DeviceFeatures features;
    for (std::uint32_t i = 0; i < *count; ++i) {
        ethtool_get_features_block block{};
        std::memcpy(&block, buffer.data() + sizeof(header) + i / bits_per_block * sizeof(block), sizeof(block));
        if ((block.active >> i % bits_per_block & 1U) != 0) {
            features.active.insert((*names)[i]);
        }
        if ((block.requested >> i % bits_per_block & 1U) != 0) {
            features.requested.insert((*names)[i]);
        }
    }
    return features;
}

}  // namespace podlane
