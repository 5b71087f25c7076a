// SPDX-License-Identifier: Apache-2.0
// What nl80211 says of a device, as the kernel writes it. (A wireless device cannot be made in every kernel.)
#include "agent/cni/wireless.h"

#include <linux/genetlink.h>
#include <linux/nl80211.h>

#include <gtest/gtest.h>

namespace podlane::cni {
namespace {

// A generic netlink message's payload, its attributes put by `put`.
template <typename Put>
RtReply reply_with(Put put) {
    RtMessage message(GENL_ID_CTRL, 0, genlmsghdr{1, 1, 0});
    put(message);
    const auto bytes = message.finish(1).subspan(NLMSG_HDRLEN);
    return {GENL_ID_CTRL, {bytes.begin(), bytes.end()}};
}

RtReply family(std::uint16_t id, std::string_view name) {
    return reply_with([&](RtMessage& message) {
        message.put_string(CTRL_ATTR_FAMILY_NAME, name);
        message.put_value(CTRL_ATTR_FAMILY_ID, id);
    });
}

RtReply interface(std::uint32_t kind, std::uint8_t four_addresses) {
    return reply_with([&](RtMessage& message) {
        message.put_string(NL80211_ATTR_IFNAME, "wlan0");
        message.put_value(NL80211_ATTR_IFTYPE, kind);
        message.put_value(NL80211_ATTR_4ADDR, four_addresses);
    });
}

TEST(CniWirelessTest, FamilyNl80211_IsFoundAmongOthers) {
    const std::vector families{family(16, "nlctrl"), family(27, "nl80211"), family(28, "ethtool")};
    EXPECT_EQ(find_nl80211(families), 27);
    EXPECT_EQ(find_nl80211(std::span(families).first(1)), std::nullopt);
}

TEST(CniWirelessTest, StationIsTold_FromAccessPointAndFourAddressMode) {
    EXPECT_TRUE(describes_station(std::vector{interface(NL80211_IFTYPE_STATION, 0)}));
    EXPECT_FALSE(describes_station(std::vector{interface(NL80211_IFTYPE_STATION, 1)}));
    EXPECT_FALSE(describes_station(std::vector{interface(NL80211_IFTYPE_AP, 0)}));
    EXPECT_FALSE(describes_station({}));
    EXPECT_FALSE(describes_station(std::vector{RtReply{27, {}}})) << "too short for a header";
}

// Against the kernel.
TEST(CniWirelessTest, Loopback_IsNoStation) {
    EXPECT_FALSE(is_wireless_station(1));
}

}  // namespace
}  // namespace podlane::cni
