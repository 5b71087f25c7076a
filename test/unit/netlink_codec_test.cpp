// SPDX-License-Identifier: Apache-2.0
// Messages as Linux 6.18 sent them (links without the attributes that no codec reads), and requests read back.
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <charconv>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/netlink/fdb.h"
#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/neighbour.h"
#include "agent/netlink/route.h"

namespace podlane::netlink {
namespace {

// `ip link add podlane0 type vxlan external dstport 8472 nolearning; ip link set podlane0 arp off alias x up ...`
constexpr std::string_view external_vxlan =
    "340100001000000009000000fa2000000000010004000000c3100100000000000d000300706f646c616e65300000000008000d00"
    "e803000008000400aa05000008001b000000000006001400780000000a00010002500a0000010000d80012000a00010076786c61"
    "6e000000c80002000800010000000000050005000000000005001c0000000000050006000000000005001d000000000008001a00"
    "000000000800200000000000050007000000000005000b000000000005000c000000000005000d000000000005000e0000000000"
    "0500190001000000080008002c010000080009000000000006000f00211800000500120001000000050013000000000005001400"
    "000000000500150000000000050016000000000005001f000100000008000a00000000000c002100f7ffffff000000ff";
// `ip link add flannel.1 type vxlan id 1 dstport 4789 dev eth0 local 10.0.0.1`
constexpr std::string_view plain_vxlan =
    "3c010000100000000a000000fa200000000001000500000002100000000000000e000300666c616e6e656c2e3100000008000d00"
    "e803000008000400aa05000008001b00000000000a0001007ee8c9c6fa740000e80012000a00010076786c616e000000d8000200"
    "08000100010000000800030003000000080004000a000001050005000000000005001c0000000000050006000000000005001d00"
    "0000000008001a00000000000800200000000000050007000100000005000b000000000005000c000000000005000d0000000000"
    "05000e00000000000500190000000000080008002c010000080009000000000006000f0012b50000050012000100000005001300"
    "0000000005001400000000000500150000000000050016000000000005001f000100000008000a00000000000c002100f7ffffff"
    "000000ff";
// `ip link add eth0 type veth peer name wire`
constexpr std::string_view veth =
    "68000000100000000b000000fa2000000000010003000000431001000000000009000300657468300000000008000d00e8030000"
    "08000400dc05000008001b00000000000a0001006e032d39efd50000100012000900010076657468000000000800050002000000";
// `ip route add 10.244.3.0/24 dev podlane0 src 10.0.0.1 proto 80 mtu 1400`, after the device went down
constexpr std::string_view route_with_mtu =
    "4800000018000200050000004320000002180000fe50fd010000000008000f00fe000000080001000af403000c00080008000200"
    "78050000080007000a0000010800040004000000";
// `ip route add unreachable 10.244.0.0/16 proto 80 metric 4294967295`
constexpr std::string_view unreachable_route =
    "3400000018000200050000004320000002100000fe5000070000000008000f00fe000000080001000af4000008000600ffffffff";
// `ip route add 10.9.0.0/16 via 192.0.2.1 dev eth0 onlink table 1000`
constexpr std::string_view onlink_route =
    "4400000018000200050000004320000002100000fc0300010400000008000f00e8030000080001000a0900000800060007000000"
    "08000500c00002010800040003000000";
// `ip route add 10.11.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3`
constexpr std::string_view multipath_route =
    "5000000018000200050000004320000002100000fe0300010000000008000f00fe000000080001000a0b00002400090010000000"
    "03000000080005000a0000021000000003000000080005000a000003";
// `ip addr add 172.16.0.1 peer 172.16.0.2 dev wire`
constexpr std::string_view peer_address =
    "50000000140002000600000043200000022080000200000008000100ac10000208000200ac100001090003007769726500000000"
    "080008008000000014000600ffffffffffffffffb5420500b5420500";
// `ip neigh add 10.0.0.9 dev eth0 lladdr 02:00:00:00:00:09 nud permanent`
constexpr std::string_view permanent_neighbour =
    "4c0000001c0002000700000043200000020000000300000080000001080001000a0000090a000200020000000009000008000400"
    "000000001400030000000000000000000000000000000000";
// `bridge fdb add 02:00:00:00:00:09 dev flannel.1 dst 192.168.0.2 self permanent`
constexpr std::string_view vxlan_fdb_entry =
    "440000001c00020007000000c13000000700000004000000c00002010a000200020000000009000008000100c0a8000214000300"
    "00000000140000001400000000000000";
// That of a bridge's own address, as the kernel adds it.
constexpr std::string_view bridge_fdb_entry =
    "4c0000001c000200070000007b3000000700000002000000800000000a0002003eb20bdd564a0000080009000200000008000f00"
    "000000001400030000000000100000001000000000000000";

// A message in memory that ends where the message ends, so that reading past it is noticed.
class Recorded {
public:
    explicit Recorded(std::string_view hex) : bytes_(hex.size() / 2) {
        for (std::size_t index = 0; index < bytes_.size(); ++index) {
            std::from_chars(hex.data() + 2 * index, hex.data() + 2 * index + 2, bytes_[index], 16);
        }
    }
    // The first `size` bytes, as a message that claims to be that long.
    [[nodiscard]] Recorded cut(std::size_t size) const {
        auto part = *this;
        part.bytes_.resize(size);
        part.bytes_.shrink_to_fit();
        part.header().nlmsg_len = static_cast<std::uint32_t>(size);
        return part;
    }
    nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }
    [[nodiscard]] std::size_t size() const { return bytes_.size(); }

private:
    std::vector<std::uint8_t> bytes_;
};

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

TEST(NetlinkLinkTest, ExternalVxlan_IsReadWithItsSettings) {
    EXPECT_EQ(decode_link(Recorded(external_vxlan).header()),
              (Link{.ifindex = 4,
                    .name = "podlane0",
                    .kind = "vxlan",
                    .type = ARPHRD_ETHER,
                    .flags = IFF_UP | IFF_NOARP | IFF_BROADCAST | IFF_MULTICAST | IFF_RUNNING | (1U << 16U),
                    .mtu = 1450,
                    .mac = MacAddress({0x02, 0x50, 0x0a, 0, 0, 1}),
                    .alias = "x",
                    .vxlan = VxlanSettings{.external = true, .port = 8472, .vni = 0, .learning = false}}));
}

TEST(NetlinkLinkTest, PlainVxlan_IsNotExternalAndHasAVni) {
    const auto link = decode_link(Recorded(plain_vxlan).header()).value();
    EXPECT_EQ(link.name, "flannel.1");
    EXPECT_FALSE(link.is_up());
    EXPECT_FALSE(link.is_no_arp());
    EXPECT_EQ(
        link.vxlan,
        (VxlanSettings{
            .external = false, .port = 4789, .vni = 1, .learning = true, .local = address("10.0.0.1"), .lower = 3}));
}

TEST(NetlinkLinkTest, VethInOneNamespace_HasItsPeersIndexAndNoNamespace) {
    const auto link = decode_link(Recorded(veth).header()).value();
    EXPECT_EQ(link.kind, "veth");
    EXPECT_EQ(link.link, 2U);
    EXPECT_EQ(link.link_netnsid, std::nullopt);
    EXPECT_EQ(link.vxlan, std::nullopt);
    EXPECT_TRUE(link.is_running());
}

TEST(NetlinkLinkTest, CreationOfTheOverlayDevice_ReadsBackAsThatDevice) {
    const auto request = create_external_vxlan(
        {.name = "podlane0", .port = 8472, .mac = MacAddress({2, 0x50, 10, 0, 0, 1}), .mtu = 1450});
    EXPECT_EQ(request.label(), "create link podlane0 type vxlan external dstport 8472");
    EXPECT_EQ(request.raw().nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    EXPECT_EQ(decode_link(request.raw()), (Link{.name = "podlane0",
                                                .kind = "vxlan",
                                                .flags = IFF_NOARP,
                                                .mtu = 1450,
                                                .mac = MacAddress({2, 0x50, 10, 0, 0, 1}),
                                                .vxlan = VxlanSettings{.external = true, .port = 8472}}));
}

TEST(NetlinkLinkTest, CreationOfAPlainVxlan_ReadsBackAsThatDeviceAndSaysWhatItTurnsOff) {
    const VxlanSettings settings{
        .port = 8472, .vni = 1, .local = address("10.0.0.1"), .lower = 3, .udp_checksum = false};
    const MacAddress mac({2, 0x50, 10, 0, 0, 1});
    const auto request = create_plain_vxlan({.name = "flannel.1", .settings = settings, .mac = mac, .mtu = 1450});
    EXPECT_EQ(request.label(), "create link flannel.1 type vxlan id 1 dstport 8472");
    EXPECT_EQ(request.raw().nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    EXPECT_EQ(decode_link(request.raw()),
              (Link{.name = "flannel.1", .kind = "vxlan", .mtu = 1450, .mac = mac, .vxlan = settings}));
    const auto data = Attributes(request.raw(), sizeof(ifinfomsg)).nested(IFLA_LINKINFO).nested(IFLA_INFO_DATA);
    EXPECT_EQ(data.u8(IFLA_VXLAN_LEARNING), 0) << "the kernel's default is to learn";
}

TEST(NetlinkLinkTest, ChangeOfTheMtuAlone_MentionsNothingElse) {
    const auto request = change_link({.ifindex = 4, .name = "podlane0"}, {.mtu = 1400});
    EXPECT_EQ(request.label(), "change link podlane0: mtu 1400");
    EXPECT_EQ(header_of<ifinfomsg>(request.raw())->ifi_change, 0U);
    EXPECT_EQ(decode_link(request.raw()), (Link{.ifindex = 4, .mtu = 1400}));
}

TEST(NetlinkLinkTest, ChangeOfState_TouchesOnlyTheFlagsItNames) {
    const auto request =
        change_link({.ifindex = 4, .name = "podlane0"}, {.state = AdminState::down, .arp = ArpUse::off});
    EXPECT_EQ(request.label(), "change link podlane0: down, noarp");
    EXPECT_EQ(header_of<ifinfomsg>(request.raw())->ifi_change, IFF_UP | IFF_NOARP);
    EXPECT_EQ(header_of<ifinfomsg>(request.raw())->ifi_flags, IFF_NOARP);
}

TEST(NetlinkLinkTest, PortOfABridge_IsNoDevice) {
    Recorded message(veth);
    ifinfomsg header{};
    std::memcpy(&header, mnl_nlmsg_get_payload(&message.header()), sizeof(header));
    header.ifi_family = AF_BRIDGE;
    std::memcpy(mnl_nlmsg_get_payload(&message.header()), &header, sizeof(header));
    EXPECT_EQ(decode_link(message.header()), std::nullopt);
}

TEST(NetlinkRouteTest, RouteOfPodlane_IsReadWithMtuAndSource) {
    const Route route{.destination = prefix("10.244.3.0/24"),
                      .oif = 4,
                      .source = address("10.0.0.1"),
                      .scope = RT_SCOPE_LINK,
                      .protocol = 80,
                      .mtu = 1400};
    EXPECT_EQ(decode_route(Recorded(route_with_mtu).header()), route);
    EXPECT_EQ(route.to_string(), "10.244.3.0/24 dev #4 src 10.0.0.1 mtu 1400");
}

TEST(NetlinkRouteTest, UnreachableRoute_HasNoDevice) {
    const Route route{
        .destination = prefix("10.244.0.0/16"), .type = RTN_UNREACHABLE, .protocol = 80, .metric = 0xffffffff};
    EXPECT_EQ(decode_route(Recorded(unreachable_route).header()), route);
    EXPECT_EQ(route.to_string(), "unreachable 10.244.0.0/16 metric 4294967295");
}

TEST(NetlinkRouteTest, OnlinkRouteOfALargeTable_IsReadWithBoth) {
    const Route route{.destination = prefix("10.9.0.0/16"),
                      .oif = 3,
                      .gateway = address("192.0.2.1"),
                      .protocol = RTPROT_BOOT,
                      .metric = 7,
                      .table = 1000,
                      .on_link = true};
    EXPECT_EQ(decode_route(Recorded(onlink_route).header()), route);
    EXPECT_EQ(route.to_string(), "10.9.0.0/16 via 192.0.2.1 dev #3 metric 7 table 1000 onlink");
}

TEST(NetlinkRouteTest, MultipathRoute_HasNoSingleNextHop) {
    const auto route = decode_route(Recorded(multipath_route).header()).value();
    EXPECT_EQ(route.oif, 0U);
    EXPECT_EQ(route.gateway, std::nullopt);
}

TEST(NetlinkRouteTest, EveryRequest_ReadsBackAsTheRoute) {
    for (const auto hex : {route_with_mtu, unreachable_route, onlink_route}) {
        const auto route = decode_route(Recorded(hex).header()).value();
        EXPECT_EQ(decode_route(add_route(route).raw()), route);
        EXPECT_EQ(decode_route(replace_route(route).raw()), route);
        EXPECT_EQ(decode_route(delete_route(route).raw()), route);
    }
}

TEST(NetlinkRouteTest, AddNeverOverwritesAndReplaceDoes) {
    const Route route{.destination = prefix("10.9.0.0/16")};
    EXPECT_EQ(add_route(route).raw().nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    EXPECT_EQ(replace_route(route).raw().nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
}

TEST(NetlinkAddressTest, PointToPointAddress_IsTheLocalEnd) {
    EXPECT_EQ(decode_address(Recorded(peer_address).header()),
              (InterfaceAddress{.ifindex = 2, .address = address("172.16.0.1"), .prefix_length = 32}));
}

TEST(NetlinkAddressTest, EveryRequest_ReadsBackAsTheAddress) {
    const InterfaceAddress wanted{.ifindex = 4, .address = address("10.0.0.1"), .prefix_length = 32};
    EXPECT_EQ(decode_address(replace_address(wanted).raw()), wanted);
    EXPECT_EQ(decode_address(delete_address(wanted).raw()), wanted);
    EXPECT_EQ(replace_address(wanted).label(), "set address 10.0.0.1/32 dev #4");
}

TEST(NetlinkNeighbourTest, PermanentEntry_IsReadAndRequestsReadBack) {
    const Neighbour neighbour{
        .ifindex = 3, .address = address("10.0.0.9"), .mac = MacAddress({2, 0, 0, 0, 0, 9}), .state = NUD_PERMANENT};
    EXPECT_EQ(decode_neighbour(Recorded(permanent_neighbour).header()), neighbour);
    EXPECT_EQ(decode_neighbour(replace_neighbour(neighbour).raw()), neighbour);
    EXPECT_EQ(replace_neighbour(neighbour).label(), "set neighbour 10.0.0.9 dev #3 lladdr 02:00:00:00:00:09");
}

TEST(NetlinkFdbTest, EntryOfAVxlanDevice_IsReadAndTheRequestReadsBack) {
    const FdbEntry entry{.ifindex = 4,
                         .mac = MacAddress({2, 0, 0, 0, 0, 9}),
                         .remote = address("192.168.0.2"),
                         .state = NUD_PERMANENT | NUD_NOARP,
                         .flags = NTF_SELF};
    EXPECT_EQ(decode_fdb_entry(Recorded(vxlan_fdb_entry).header()), entry);
    const auto request = set_fdb_entry(entry);
    EXPECT_EQ(decode_fdb_entry(request.raw()), entry);
    EXPECT_EQ(request.label(), "set FDB entry 02:00:00:00:00:09 dev #4 dst 192.168.0.2");
    EXPECT_EQ(request.raw().nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
}

TEST(NetlinkFdbTest, EntryOfAllMacs_IsAppendedSinceItsRemotesAreMany) {
    const FdbEntry entry{.ifindex = 4, .mac = {}, .remote = address("192.168.0.2")};
    EXPECT_EQ(set_fdb_entry(entry).raw().nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND);
}

TEST(NetlinkFdbTest, EntryOfABridge_HasNoRemote) {
    EXPECT_EQ(decode_fdb_entry(Recorded(bridge_fdb_entry).header()),
              (FdbEntry{.ifindex = 2, .mac = MacAddress({0x3e, 0xb2, 0x0b, 0xdd, 0x56, 0x4a}), .flags = 0}));
}

TEST(NetlinkFdbTest, NeighbourAndFdbEntry_AreNotTakenForEachOther) {
    EXPECT_EQ(decode_neighbour(Recorded(vxlan_fdb_entry).header()), std::nullopt);
    EXPECT_EQ(decode_fdb_entry(Recorded(permanent_neighbour).header()), std::nullopt);
}

TEST(NetlinkCodecTest, MessageCutAnywhere_IsReadAsFarAsItGoesOrNotAtAll) {
    for (const auto hex : {external_vxlan, plain_vxlan, veth, route_with_mtu, unreachable_route, onlink_route,
                           multipath_route, peer_address, permanent_neighbour, vxlan_fdb_entry, bridge_fdb_entry}) {
        const Recorded whole(hex);
        for (std::size_t size = sizeof(nlmsghdr); size < whole.size(); ++size) {
            auto part = whole.cut(size);
            const auto event = decode_event(part.header());
            const auto entry = decode_fdb_entry(part.header());
            EXPECT_TRUE(size >= sizeof(nlmsghdr) + sizeof(ndmsg) || (!event && !entry)) << "half a header at " << size;
        }
    }
}

TEST(NetlinkCodecTest, AttributeShorterThanItsType_ReadsAsAbsent) {
    Message request(RTM_NEWLINK, 0, ifinfomsg{}, "");
    request.put_u8(IFLA_MTU, 1);
    request.put_u32(IFLA_ADDRESS, 1);
    const Attributes attributes(request.raw(), sizeof(ifinfomsg));
    EXPECT_TRUE(attributes.has(IFLA_MTU));
    EXPECT_EQ(attributes.u32(IFLA_MTU), std::nullopt);
    EXPECT_EQ(attributes.mac(IFLA_ADDRESS), std::nullopt);
    EXPECT_EQ(attributes.string(IFLA_IFNAME), std::nullopt);
    EXPECT_FALSE(attributes.nested(IFLA_LINKINFO).has(IFLA_INFO_KIND));
}

TEST(NetlinkCodecTest, MessageThatOutgrowsItsBuffer_KeepsItsNesting) {
    const std::string long_text(1000, 'a');
    Message request(RTM_NEWLINK, 0, ifinfomsg{}, "");
    request.put_nested(IFLA_LINKINFO, [&](Message& info) {
        info.put_nested(IFLA_INFO_DATA, [&](Message& data) { data.put_string(1, long_text); });
        info.put_string(IFLA_INFO_KIND, "kind");
    });
    request.put_u32(IFLA_MTU, 9000);
    const Attributes attributes(request.raw(), sizeof(ifinfomsg));
    EXPECT_EQ(attributes.nested(IFLA_LINKINFO).nested(IFLA_INFO_DATA).string(1), long_text);
    EXPECT_EQ(attributes.nested(IFLA_LINKINFO).string(IFLA_INFO_KIND), "kind");
    EXPECT_EQ(attributes.u32(IFLA_MTU), 9000U);
}

TEST(NetlinkEventTest, DeletionOfEachKind_IsGoneAndCreationPresent) {
    const auto change_of = [](std::string_view hex, std::uint16_t type) {
        Recorded message(hex);
        message.header().nlmsg_type = type;
        const auto event = decode_event(message.header());
        return std::visit(
            [](const auto& kind) -> std::optional<Change> {
                if constexpr (requires { kind.change; }) {
                    return kind.change;
                }
                return std::nullopt;
            },
            event.value());
    };
    EXPECT_EQ(change_of(veth, RTM_NEWLINK), Change::present);
    EXPECT_EQ(change_of(veth, RTM_DELLINK), Change::gone);
    EXPECT_EQ(change_of(peer_address, RTM_NEWADDR), Change::present);
    EXPECT_EQ(change_of(peer_address, RTM_DELADDR), Change::gone);
    EXPECT_EQ(change_of(route_with_mtu, RTM_NEWROUTE), Change::present);
    EXPECT_EQ(change_of(route_with_mtu, RTM_DELROUTE), Change::gone);
    EXPECT_EQ(change_of(permanent_neighbour, RTM_NEWNEIGH), Change::present);
    EXPECT_EQ(change_of(permanent_neighbour, RTM_DELNEIGH), Change::gone);
}

Message settings(std::initializer_list<std::uint16_t> attributes) {
    Message message(RTM_NEWNETCONF, 0, netconfmsg{.ncm_family = AF_INET}, "");
    message.put_u32(NETCONFA_IFINDEX, static_cast<std::uint32_t>(NETCONFA_IFINDEX_ALL));
    for (const auto attribute : attributes) {
        message.put_u32(attribute, 0);
    }
    return message;
}

TEST(NetlinkEventTest, ChangedForwardingOrReversePathFilter_NamesTheDeviceOrAll) {
    for (const std::uint16_t changed : {NETCONFA_FORWARDING, NETCONFA_RP_FILTER}) {
        const auto event = decode_event(settings({changed}).raw());
        EXPECT_EQ(std::get<SettingsEvent>(event.value()).ifindex, NETCONFA_IFINDEX_ALL);
    }
}

TEST(NetlinkEventTest, SettingsOfANewDeviceAndOthers_AreNoChange) {
    EXPECT_FALSE(decode_event(settings({NETCONFA_FORWARDING, NETCONFA_RP_FILTER, NETCONFA_PROXY_NEIGH}).raw()));
    EXPECT_FALSE(decode_event(settings({NETCONFA_PROXY_NEIGH}).raw()));
}

}  // namespace
}  // namespace podlane::netlink
