// SPDX-License-Identifier: Apache-2.0
#include "maps/base/prefix_mask.h"

#include <gtest/gtest.h>

namespace podlane {
namespace {

constexpr auto address = Ipv4Address::from_host(0x0af4fe05);  // 10.244.254.5

TEST(PrefixMaskTest, AMaskOfFirstBitsIsAPrefixWithoutHostBits) {
    for (unsigned length = 0; length <= 32; ++length) {
        const auto expected = Ipv4Prefix::masked(address, length);
        EXPECT_EQ(prefix_of_mask(address, expected.mask_host()), expected) << length;
    }
    EXPECT_EQ(prefix_of_mask(address, 0xffff0000).value().to_string(), "10.244.0.0/16");
}

TEST(PrefixMaskTest, AMaskWithHolesIsNone) {
    for (const std::uint32_t mask : {0xff00ff00U, 0x00ffffffU, 0xfffffffdU, 0x00000001U, 0x7fffffffU}) {
        EXPECT_FALSE(prefix_of_mask(address, mask)) << std::hex << mask;
    }
}

}  // namespace
}  // namespace podlane
