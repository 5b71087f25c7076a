// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>

#include "test/prog/harness/fixture.h"

// from-underlay where the underlay device merges no segments (GRO off): bulk transfers go by the overlay device, which
// merges them, messages do not.
namespace podlane::prog {
namespace {

constexpr std::size_t full_payload = 1398;  // of a segment with time stamps, at an MTU of 1450
constexpr unsigned bulk_after = 16;         // full segments in a row
constexpr std::uint8_t middle = tcp_flag::ack;
constexpr std::uint8_t last = tcp_flag::ack | tcp_flag::psh;
const Member& n1 = member("n1");
const Member& n2 = member("n2");

Frame segment(std::uint8_t flags, std::size_t payload_length, std::uint16_t port = 40000) {
    return from_pod(pod("api"), web_ip, Tcp{80, port, flags}, payload_length);
}

class UnmergedBulk : public ProgTest {
protected:
    void SetUp() override {
        ProgTest::SetUp();
        EXPECT_TRUE(goes_to_the_pod(segment(tcp_flag::syn, 0)));
    }

    [[nodiscard]] static testing::AssertionResult goes_to_the_pod(const Frame& inner, const At& at = underlay_in) {
        return redirects(at, encapsulated(inner, n2, n1), bytes(delivered(inner, pod("web"))), PATH_OVERLAY_TO_POD);
    }

    // Left to the overlay device, whole.
    [[nodiscard]] static testing::AssertionResult goes_to_the_overlay_device(const Frame& inner,
                                                                             const At& at = underlay_in) {
        const Bytes packet = encapsulated(inner, n2, n1);
        return comes_to(node(), at, packet, {Verdict::pass, packet, at.mark},
                        once(counter_of(PATH_BULK_TO_OVERLAY_DEVICE), packet));
    }

    static void become_bulk() {
        for (unsigned i = 0; i < bulk_after; ++i) {
            ASSERT_TRUE(goes_to_the_pod(segment(middle, full_payload))) << "segment " << i;
        }
    }
};

TEST_F(UnmergedBulk, OfManyFullSegments_GoesToTheOverlayDeviceWithAllThatFollows) {
    become_bulk();
    EXPECT_TRUE(goes_to_the_overlay_device(segment(middle, full_payload)));
    EXPECT_TRUE(goes_to_the_overlay_device(segment(last, full_payload)));
    EXPECT_TRUE(goes_to_the_overlay_device(segment(last, 1)));
    EXPECT_TRUE(goes_to_the_overlay_device(segment(tcp_flag::ack | tcp_flag::fin, 0)));
}

TEST_F(UnmergedBulk, OfOneFlow_LeavesOthersAlone) {
    become_bulk();
    EXPECT_TRUE(goes_to_the_pod(segment(tcp_flag::syn, 0, 40001)));
    EXPECT_TRUE(goes_to_the_pod(segment(middle, full_payload, 40001)));
}

TEST_F(UnmergedBulk, MessagesOfAFewSegments_AreNone) {
    for (unsigned message = 0; message < 3 * bulk_after; ++message) {
        for (unsigned i = 1; i < bulk_after; ++i) {
            ASSERT_TRUE(goes_to_the_pod(segment(middle, full_payload)));
        }
        ASSERT_TRUE(goes_to_the_pod(segment(last, full_payload)));
    }
}

TEST_F(UnmergedBulk, ManySmallSegments_AreNone) {
    for (unsigned i = 0; i < 3 * bulk_after; ++i) {
        ASSERT_TRUE(goes_to_the_pod(segment(middle, 0)));
        ASSERT_TRUE(goes_to_the_pod(segment(middle, 900)));
    }
}

TEST_F(UnmergedBulk, MergedSegment_ShowsThatTheUnderlayMerges) {
    At merged = underlay_in;
    merged.gso_segs = 2;
    merged.gso_size = full_payload;
    become_bulk();
    EXPECT_TRUE(goes_to_the_overlay_device(segment(middle, full_payload)));
    // In a test run a GSO packet has no type, and the kernel refuses to decapsulate it: what it leaves behind counts.
    EXPECT_NE(node().run(merged, encapsulated(segment(middle, 2 * full_payload), n2, n1)).verdict, Verdict::pass);
    [[maybe_unused]] const auto counted = node().counted();
    become_bulk();
    EXPECT_TRUE(goes_to_the_overlay_device(segment(middle, full_payload)));
}

TEST_F(UnmergedBulk, FragmentsAndOptions_KeepTheirWay) {
    become_bulk();
    Frame fragment = segment(middle, full_payload);
    fragment.ip.fragment = more_fragments;
    EXPECT_TRUE(hands_over(underlay_in, encapsulated(fragment, n2, n1), HANDOVER_FRAGMENT));
    Frame options = segment(middle, 64);
    options.ip.options = Bytes(8, 1);
    EXPECT_TRUE(hands_over(underlay_in, encapsulated(options, n2, n1), HANDOVER_IP_OPTIONS));
}

TEST_F(UnmergedBulk, FlowOfTheStack_StaysThere) {
    const Frame inner = segment(middle, full_payload, 40002);
    node().set_flow({IPPROTO_TCP, web_ip, 40002, pod("api").address, 80}, FLOW_OWNER_STACK);
    for (unsigned i = 0; i < 2 * bulk_after; ++i) {
        ASSERT_TRUE(hands_over(underlay_in, encapsulated(inner, n2, n1), HANDOVER_STACK_FLOW));
    }
}

}  // namespace
}  // namespace podlane::prog
