// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/wireless.h"

#include <linux/genetlink.h>
#include <linux/nl80211.h>

namespace podlane::cni {
namespace {

template <typename Visit>
void for_each_generic_attribute(const RtReply& reply, Visit visit) {
    if (reply.payload.size() >= GENL_HDRLEN) {
        // What was seen before a damaged attribute counts.
        (void)for_each_attribute(std::span(reply.payload).subspan(GENL_HDRLEN), visit);
    }
}

}  // namespace

std::optional<std::uint16_t> find_nl80211(std::span<const RtReply> families) {
    for (const auto& reply : families) {
        std::uint16_t id = 0;
        bool found = false;
        for_each_generic_attribute(reply, [&](std::uint16_t type, auto value) {
            if (type == CTRL_ATTR_FAMILY_ID) {
                id = attribute_value<std::uint16_t>(value);
            } else if (type == CTRL_ATTR_FAMILY_NAME) {
                found = attribute_string(value) == NL80211_GENL_NAME;
            }
        });
        if (found) {
            return id;
        }
    }
    return std::nullopt;
}

bool describes_station(std::span<const RtReply> interface) {
    bool station = false;
    bool four_addresses = false;
    for (const auto& reply : interface) {
        for_each_generic_attribute(reply, [&](std::uint16_t type, auto value) {
            if (type == NL80211_ATTR_IFTYPE) {
                station = attribute_value<std::uint32_t>(value) == NL80211_IFTYPE_STATION;
            } else if (type == NL80211_ATTR_4ADDR) {
                four_addresses = attribute_value<std::uint8_t>(value) != 0;
            }
        });
    }
    return station && !four_addresses;
}

bool is_wireless_station(int index) {
    auto socket = RtSocket::open(NETLINK_GENERIC);
    if (!socket) {
        return false;
    }
    // From the list of all families: to ask for one by its name would make the kernel load its module.
    const auto families = socket->request(RtMessage(GENL_ID_CTRL, NLM_F_DUMP, genlmsghdr{CTRL_CMD_GETFAMILY, 1, 0}));
    const auto family = families ? find_nl80211(*families) : std::nullopt;
    if (!family) {
        return false;
    }
    RtMessage question(*family, NLM_F_ACK, genlmsghdr{NL80211_CMD_GET_INTERFACE, 0, 0});
    question.put_value(NL80211_ATTR_IFINDEX, static_cast<std::uint32_t>(index));
    const auto replies = socket->request(std::move(question));  // an error: no wireless device
    return replies && describes_station(*replies);
}

}  // namespace podlane::cni
