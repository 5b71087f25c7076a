// SPDX-License-Identifier: Apache-2.0
#include "agent/state/pod_snat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

using Annotations = std::map<std::string, std::string>;
using Kind = PodSnat::Kind;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

const std::set<Ipv4Address> of_node = {address("192.168.0.1"), address("192.0.2.7")};

PodObject pod(Annotations annotations) {
    PodObject object;
    object.name_space = "default";
    object.name = "web";
    object.annotations = std::move(annotations);
    object.origin = "cluster.yaml:12";
    return object;
}

struct Asked {
    std::string name;
    Annotations annotations;
    PodSnat snat;
    std::string warning;  // empty: none
};

class PodSnatTest : public testing::TestWithParam<Asked> {};

const std::string refused_egress = "pod default/web: metadata.annotations[podlane.io/egress-ip]: ";
const std::string refused_snat = "pod default/web: metadata.annotations[podlane.io/snat]: ";
const std::string leaves_with_node = ": the pod's new connections leave with the node's (cluster.yaml:12)";
const std::string is_translated = " is neither \"true\" nor \"false\": the pod is translated (cluster.yaml:12)";

const PodSnat own_egress{Kind::address, Ipv4Address::from_host(0xc0000207)};

INSTANTIATE_TEST_SUITE_P(
    Annotations, PodSnatTest,
    testing::Values(
        Asked{"None", {}, {}, ""}, Asked{"Others", {{"podlane.io/other", "false"}}, {}, ""},
        Asked{"OptedOut", {{"podlane.io/snat", "false"}}, {Kind::off}, ""},
        Asked{"OptedIn", {{"podlane.io/snat", "true"}}, {}, ""},
        Asked{"OtherCase", {{"podlane.io/snat", "False"}}, {}, refused_snat + "\"False\"" + is_translated},
        Asked{"Blank", {{"podlane.io/snat", "false "}}, {}, refused_snat + "\"false \"" + is_translated},
        Asked{"Number", {{"podlane.io/snat", "0"}}, {}, refused_snat + "\"0\"" + is_translated},
        Asked{"EmptySnat", {{"podlane.io/snat", ""}}, {}, refused_snat + "\"\"" + is_translated},
        Asked{"ControlCharacter", {{"podlane.io/snat", "no\n"}}, {}, refused_snat + "\"no?\"" + is_translated},
        Asked{"OwnAddress", {{"podlane.io/egress-ip", "192.0.2.7"}}, own_egress, ""},
        Asked{"OwnAddressOfAPodThatIsTranslated",
              {{"podlane.io/egress-ip", "192.0.2.7"}, {"podlane.io/snat", "true"}},
              own_egress,
              ""},
        Asked{"OwnAddressBesideABadFlag",
              {{"podlane.io/egress-ip", "192.0.2.7"}, {"podlane.io/snat", "maybe"}},
              own_egress,
              refused_snat + "\"maybe\"" + is_translated},
        Asked{"AddressOfNobody",
              {{"podlane.io/egress-ip", "192.0.2.8"}},
              {},
              refused_egress + "192.0.2.8 is not an address of this node" + leaves_with_node},
        Asked{"NoAddress",
              {{"podlane.io/egress-ip", "here"}},
              {},
              refused_egress + "\"here\" is not an IPv4 address" + leaves_with_node},
        Asked{"EmptyAddress",
              {{"podlane.io/egress-ip", ""}},
              {},
              refused_egress + "\"\" is not an IPv4 address" + leaves_with_node},
        Asked{"Ipv6",
              {{"podlane.io/egress-ip", "fd00::1"}},
              {},
              refused_egress + "\"fd00::1\" is not an IPv4 address" + leaves_with_node},
        Asked{"AddressWithALength",
              {{"podlane.io/egress-ip", "192.0.2.7/32"}},
              {},
              refused_egress + "\"192.0.2.7/32\" is not an IPv4 address" + leaves_with_node},
        Asked{"AddressOfAPodThatOptedOut",
              {{"podlane.io/egress-ip", "192.0.2.7"}, {"podlane.io/snat", "false"}},
              {Kind::off},
              refused_egress + "\"192.0.2.7\" has no effect beside podlane.io/snat: \"false\" (cluster.yaml:12)"}),
    [](const auto& test) { return test.param.name; });

TEST_P(PodSnatTest, IsDecidedAsTheAnnotationsSay) {
    const auto decision = decide_pod_snat(pod(GetParam().annotations), of_node);
    EXPECT_EQ(decision.snat, GetParam().snat);
    ASSERT_THAT(decision.warnings, SizeIs(GetParam().warning.empty() ? 0 : 1));
    if (!decision.warnings.empty()) {
        EXPECT_EQ(decision.warnings.front().to_string(), GetParam().warning);
    }
}

TEST(PodSnatDecisionTest, PodOfTheHostsNetwork_IsPassedOver) {
    auto object = pod({{"podlane.io/snat", "false"}, {"podlane.io/egress-ip", "10.1.2.3"}});
    object.host_network = true;
    const auto decision = decide_pod_snat(object, of_node);
    EXPECT_EQ(decision.snat, PodSnat{});
    EXPECT_THAT(decision.warnings, IsEmpty());
}

TEST(PodSnatDecisionTest, Text_IsShort) {
    EXPECT_EQ(PodSnat{}.to_string(), "node");
    EXPECT_EQ(PodSnat{Kind::off}.to_string(), "off");
    EXPECT_EQ(own_egress.to_string(), "192.0.2.7");
}

class FindPodTest : public testing::Test {
protected:
    FindPodTest() {
        objects_.pods["default/web"] = pod({});
        objects_.pods["default/web"].uid = "u-1";
        objects_.pods["default/old"] = pod({});
    }
    [[nodiscard]] bool finds(const PodIdentity& identity) const { return find_pod(objects_, identity) != nullptr; }
    ClusterObjects objects_;
};

TEST_F(FindPodTest, NameAndUid_MustAgree) {
    EXPECT_TRUE(finds({"default", "web", "u-1"}));
    EXPECT_FALSE(finds({"default", "web", "u-2"}));
    EXPECT_FALSE(finds({"other", "web", "u-1"}));
    EXPECT_FALSE(finds({"", "", ""}));
}

TEST_F(FindPodTest, UidThatOneSideDoesNotKnow_IsNoHindrance) {
    EXPECT_TRUE(finds({"default", "web", ""}));
    EXPECT_TRUE(finds({"default", "old", "u-9"}));
}

TEST(EgressAddressesTest, AreThoseOfTheNodeAndNotOfPodlane) {
    constexpr std::uint32_t lo = 1;
    constexpr std::uint32_t eth0 = 2;
    constexpr std::uint32_t overlay = 3;
    constexpr std::uint32_t pods_link = 4;
    constexpr std::uint8_t global = 0;
    constexpr std::uint8_t link = 253;
    constexpr std::uint8_t host = 254;
    const auto usable = egress_addresses({{lo, address("127.0.0.1"), 8, host},
                                          {lo, address("127.0.0.9"), 32, global},
                                          {lo, address("192.0.2.7"), 32, global},
                                          {eth0, address("192.168.0.1"), 24, global},
                                          {eth0, address("192.168.0.9"), 24, global},
                                          {eth0, address("169.254.1.2"), 16, link},
                                          {overlay, address("192.168.0.1"), 32, global},
                                          {overlay, address("10.244.1.0"), 32, global},
                                          {pods_link, address("10.244.1.1"), 32, global}},
                                         {overlay, pods_link}, address("192.168.0.1"));
    EXPECT_THAT(usable, ElementsAre(address("192.0.2.7"), address("192.168.0.1"), address("192.168.0.9")));
}

TEST(EgressAddressesTest, InternalIpOnTheOverlayDeviceAlone_Counts) {
    EXPECT_THAT(egress_addresses({{3, address("192.168.0.1"), 32, 0}}, {3}, address("192.168.0.1")),
                ElementsAre(address("192.168.0.1")));
}

}  // namespace
}  // namespace podlane
