// SPDX-License-Identifier: Apache-2.0
// `link: "macvlan"`: what ADD makes, what CHECK notices, what DEL leaves, beside Debian's reference plugin.
//
//   container c1 eth0 - - em2 172.20.7.100/24 :node 1 (podlane-agent)
//        (macvlan)         |
//               [ bridge lan ] --- eth0 172.20.7.200/24 :neighbour
#include "test/net/cni_macvlan_scene.h"
#include "test/net/harness/capture.h"

namespace podlane::net {
namespace {

using Routes = std::set<std::pair<std::string, std::string>>;

class CniMacvlanVersionTest : public MacvlanLan, public testing::WithParamInterface<const char*> {};

TEST_P(CniMacvlanVersionTest, UsersConfiguration_WorksWordForWord) {
    const Container container("c1");
    const auto plugin = macvlan_runtime(GetParam());
    const auto result = plugin.add(container);
    const auto inside = ip_json(container.ns, "address show dev eth0")[0];
    auto expected = Json::parse(R"({"routes": [{"dst": "0.0.0.0/0"}],
        "ips": [{"address": "172.20.7.51/24", "gateway": "172.20.7.254", "interface": 0}]})");
    expected["cniVersion"] = GetParam();
    expected["interfaces"] = {
        {{"name", "eth0"}, {"mac", inside["address"]}, {"sandbox", container.ns.path().string()}}};
    if (std::string_view(GetParam()) < "1.0.0") {
        expected["ips"][0]["version"] = "4";
    }
    if (std::string_view(GetParam()) == "1.1.0") {
        expected["interfaces"][0]["mtu"] = 1500;
    }
    EXPECT_EQ(result, expected);
    EXPECT_EQ(ping(container.ns, *Ipv4Address::parse("172.20.7.200"), 1).answered, 1U);

    if (std::string_view(GetParam()) >= "0.4.0") {
        const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
        EXPECT_TRUE(checked.ok()) << checked.describe();
    }
    for (const char* const round : {"first", "second"}) {
        const auto deleted = plugin.call("DEL", container, {{"prevResult", result}});
        EXPECT_TRUE(deleted.ok()) << round << ": " << deleted.describe();
        EXPECT_EQ(deleted.out, "");
        expect_no_trace_of(container);
    }
}

INSTANTIATE_TEST_SUITE_P(Cni, CniMacvlanVersionTest, testing::Values("0.3.1", "0.4.0", "1.0.0", "1.1.0"));

class CniMacvlanTest : public MacvlanLan {};

// Without what must differ: who has which address.
Json comparable_result(Json result) {
    result["interfaces"][0].erase("mac");
    result["interfaces"][0].erase("sandbox");
    for (auto& entry : result["ips"]) {
        entry.erase("address");
    }
    result.erase("dns");  // the reference plugin writes an empty one
    return result;
}

Json comparable_device(const Json& device) {
    Json compared;
    for (const char* const key : {"ifname", "link_index", "link_type", "linkinfo", "mtu", "operstate"}) {
        compared[key] = device[key];
    }
    for (const auto& address : device["addr_info"]) {
        if (address["family"] == "inet") {
            compared["addresses"].push_back({address["prefixlen"], address["broadcast"], address["scope"]});
        }
    }
    return compared;
}

TEST_F(CniMacvlanTest, BesideTheReferencePlugin_ResultDeviceAndRoutesAreTheSame) {
    const Container theirs("theirs");
    const Container ours("ours");
    auto reference = reference_runtime();
    auto plugin = macvlan_runtime("1.0.0");
    for (auto* const runtime : {&reference, &plugin}) {
        runtime->config["mtu"] = 1400;
        runtime->config["ipam"]["routes"] = Json::parse(R"([{"dst": "0.0.0.0/0"},
            {"dst": "10.32.0.0/24", "gw": "172.20.7.100"}])");
    }
    const auto expected = reference.add(theirs);
    const auto result = plugin.add(ours);
    EXPECT_EQ(comparable_result(result), comparable_result(expected));
    EXPECT_EQ(comparable_device(ip_json(ours.ns, "address show dev eth0")[0]),
              comparable_device(ip_json(theirs.ns, "address show dev eth0")[0]));
    EXPECT_EQ(routes_of(ours.ns), routes_of(theirs.ns));
    EXPECT_EQ(routes_of(ours.ns), (Routes{{"default", "172.20.7.254"}, {"10.32.0.0/24", "172.20.7.100"}}));
    EXPECT_TRUE(reference.call("CHECK", theirs, {{"prevResult", expected}}).ok());
    const auto checked = plugin.call("CHECK", ours, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(reference.call("DEL", theirs, {{"prevResult", expected}}).ok());
    EXPECT_TRUE(plugin.call("DEL", ours, {{"prevResult", result}}).ok());
    expect_no_trace_of(ours);
}

TEST_F(CniMacvlanTest, WithoutIpam_ThereIsAnInterfaceAndNoAddressAsWithTheReferencePlugin) {
    const Container theirs("theirs");
    const Container ours("ours");
    auto reference = reference_runtime();
    auto plugin = macvlan_runtime("1.0.0");
    reference.config.erase("ipam");
    plugin.config.erase("ipam");
    auto expected = comparable_result(reference.add(theirs));
    const auto result = plugin.add(ours);
    expected["ips"] = expected["routes"] = Json::array();  // absent there
    EXPECT_EQ(comparable_result(result), expected);
    EXPECT_EQ(comparable_device(ip_json(ours.ns, "address show dev eth0")[0]),
              comparable_device(ip_json(theirs.ns, "address show dev eth0")[0]));
    EXPECT_TRUE(plugin.call("CHECK", ours, {{"prevResult", result}}).ok());
    EXPECT_TRUE(reference.call("DEL", theirs).ok());
    EXPECT_TRUE(plugin.call("DEL", ours).ok());
    expect_no_trace_of(ours);
}

TEST_F(CniMacvlanTest, Add_LeavesARecordAndNoIpv6) {
    const Container container("c1");
    (void)macvlan_runtime().add(container);
    const auto inside = ip_json(container.ns, "address show dev eth0")[0];
    EXPECT_EQ(inside["addr_info"].size(), 1U) << inside;
    EXPECT_EQ(get_sysctl(container.ns, "net/ipv6/conf/eth0/disable_ipv6"), "1");
    EXPECT_EQ(get_sysctl(container.ns, "net/ipv4/conf/eth0/arp_notify"), "1");
    std::ifstream file(record(container));
    const auto written = Json::parse(file);
    EXPECT_EQ(written["link"], "macvlan");
    EXPECT_EQ(written["master"], "em2");
    EXPECT_EQ(written["mode"], "bridge");
    EXPECT_EQ(written["ip"], "172.20.7.51");
    EXPECT_EQ(written["mac"], inside["address"]);
    EXPECT_EQ(written["network"], "mynet");
    EXPECT_EQ(macvlans(node().ns()), std::vector<std::string>());
    EXPECT_TRUE(macvlan_runtime().call("DEL", container).ok());
    EXPECT_FALSE(std::filesystem::exists(record(container)));
}

// A host's neighbour entry for a pod outlives the pod.
TEST_F(CniMacvlanTest, SecondAddOfAnAttachment_HasTheSameMac) {
    const auto plugin = macvlan_runtime();
    std::set<std::string> macs;
    for (int i = 0; i < 2; ++i) {
        const Container container("c1");
        macs.insert(plugin.add(container)["interfaces"][0]["mac"]);
        EXPECT_TRUE(plugin.call("DEL", container).ok());
    }
    EXPECT_EQ(macs.size(), 1U);
}

Bytes arp_frame(const MacAddress& sender_mac, Ipv4Address sender, Ipv4Address target) {
    Bytes packet = {0, 1, 8, 0, 6, 4, 0, 1};
    const auto append = [&](const auto& bytes) { packet.insert(packet.end(), bytes.begin(), bytes.end()); };
    const auto wire = [](Ipv4Address address) {
        const auto host = address.host();
        return std::array{static_cast<std::uint8_t>(host >> 24U), static_cast<std::uint8_t>(host >> 16U),
                          static_cast<std::uint8_t>(host >> 8U), static_cast<std::uint8_t>(host)};
    };
    append(sender_mac.bytes());
    append(wire(sender));
    append(std::array<std::uint8_t, 6>{});
    append(wire(target));
    return ethernet_frame({MacAddress({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), sender_mac, ethertype_arp}, packet);
}

TEST_F(CniMacvlanTest, Address_IsProbedForThreeTimesAndThenAnnounced) {
    Capture capture(neighbour(), "eth0",
                    [](const Frame& frame) { return !frame.outgoing && ethertype_of(frame.bytes) == ethertype_arp; });
    const Container container("c1");
    const auto started = std::chrono::steady_clock::now();
    const auto result = macvlan_runtime().add(container);
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(3));
    const auto mac = *MacAddress::parse(result["interfaces"][0]["mac"].get<std::string>());
    const auto address = *Ipv4Address::parse("172.20.7.51");
    const auto probe = arp_frame(mac, Ipv4Address(), address);
    std::vector<Bytes> seen;
    ASSERT_TRUE(wait_until(
        [&] {
            seen.clear();
            for (const auto& frame : capture.frames()) {
                seen.push_back(frame.bytes);
            }
            return seen.size() >= 4;
        },
        std::chrono::seconds(2)));
    EXPECT_EQ(seen, (std::vector{probe, probe, probe, arp_frame(mac, address, address)}));
    EXPECT_EQ(capture.lost(), 0U);
    EXPECT_TRUE(macvlan_runtime().call("DEL", container).ok());
}

TEST_F(CniMacvlanTest, Announcement_CorrectsTheNeighboursEntry) {
    ip(neighbour(), "neigh replace 172.20.7.51 lladdr 02:00:00:00:00:99 dev eth0 nud stale");
    const Container container("c1");
    const auto mac = macvlan_runtime().add(container)["interfaces"][0]["mac"];
    const auto corrected = [&] { return ip_json(neighbour(), "neigh show 172.20.7.51")[0]["lladdr"] == mac; };
    EXPECT_TRUE(wait_until(corrected, std::chrono::seconds(2))) << ip(neighbour(), "neigh show");
    EXPECT_TRUE(macvlan_runtime().call("DEL", container).ok());
}

TEST_F(CniMacvlanTest, AddressThatSomebodyOnTheLanHas_IsRefusedAndTheNextOneTaken) {
    ip(neighbour(), "address add 172.20.7.51/24 dev eth0");
    const Container container("c1");
    const auto plugin = macvlan_runtime();
    const auto error = expect_error(plugin.call("ADD", container), 100);
    EXPECT_EQ(error.value("msg", ""),
              fmt::format("172.20.7.51 is in use on the LAN of em2: {} answers for it", mac_of({neighbour(), "eth0"})));
    expect_no_trace_of(container);
    EXPECT_EQ(plugin.add(container)["ips"][0]["address"], "172.20.7.52/24");
    EXPECT_TRUE(plugin.call("DEL", container).ok());
}

// Known to be in use by another macvlan of this host, which the LAN's bridge has no part in.
TEST_F(CniMacvlanTest, AddressOfAnotherContainerOfTheHost_IsRefused) {
    const Container first("c1");
    const Container second("c2");
    auto reference = reference_runtime();
    (void)reference.add(first);
    auto plugin = static_runtime("172.20.7.51/24");
    const auto error = expect_error(plugin.call("ADD", second), 100);
    EXPECT_NE(error.value("msg", "").find(mac_of({first.ns, "eth0"}).to_string()), std::string::npos) << error;
    EXPECT_TRUE(reference.call("DEL", first).ok());
    expect_no_trace_of(second);
}

TEST_F(CniMacvlanTest, AddressOfTheHostItself_IsRefusedThoughNoProbeReachesIt) {
    const Container container("c1");
    const auto error = expect_error(static_runtime("172.20.7.100/24").call("ADD", container), 100);
    EXPECT_EQ(error.value("msg", ""), "172.20.7.100 is an address of this host itself");
    expect_no_trace_of(container);
}

TEST_F(CniMacvlanTest, MasterWithoutCarrier_IsNoReasonToRefuse) {
    ip(lan(), "link set host down");
    const Container container("c1");
    const auto added = macvlan_runtime().call("ADD", container);
    EXPECT_TRUE(added.ok()) << added.describe();
    EXPECT_NE(added.err.find("em2 has no carrier: 172.20.7.51 is not probed for"), std::string::npos) << added.err;
    ip(lan(), "link set host up");
    EXPECT_TRUE(wait_until([&] { return ping(container.ns, *Ipv4Address::parse("172.20.7.200"), 1).answered == 1; },
                           std::chrono::seconds(5)));
    EXPECT_TRUE(macvlan_runtime().call("DEL", container).ok());
    ip(node().ns(), "link set em2 down");
    EXPECT_TRUE(macvlan_runtime().call("ADD", container).ok());
    EXPECT_TRUE(macvlan_runtime().call("DEL", container).ok());
}

TEST_F(CniMacvlanTest, MacThatSomebodyAsksFor_IsUsedAndDelFindsTheInterfaceByItsAlias) {
    const Container container("c1");
    auto plugin = macvlan_runtime();
    plugin.config["mac"] = "02:00:00:00:00:11";
    plugin.config["runtimeConfig"] = {{"mac", "02:00:00:00:00:12"}};
    plugin.config["bcqueuelen"] = 2000;
    const auto result = plugin.add(container);
    EXPECT_EQ(result["interfaces"][0]["mac"], "02:00:00:00:00:12");
    const auto link = ip_json(container.ns, "link show dev eth0")[0];
    EXPECT_EQ(link["address"], "02:00:00:00:00:12");
    EXPECT_EQ(link["linkinfo"]["info_data"].value("bcqueuelen", 2000), 2000) << link;
    EXPECT_TRUE(plugin.call("CHECK", container, {{"prevResult", result}}).ok());
    node().kill_agent();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    node().start_agent();
    node().wait_ready();
    expect_no_trace_of(container);
}

struct MacvlanDamage {
    const char* inside;  // `ip` arguments for the container
    const char* message;
};

class CniMacvlanDamageTest : public MacvlanLan, public testing::WithParamInterface<MacvlanDamage> {};

TEST_P(CniMacvlanDamageTest, Check_NamesWhatIsWrong) {
    const Container container("c1");
    const auto plugin = macvlan_runtime();
    const auto result = plugin.add(container);
    ip(container.ns, GetParam().inside);
    const auto error = expect_error(plugin.call("CHECK", container, {{"prevResult", result}}), 101);
    EXPECT_NE(error.value("msg", "").find(GetParam().message), std::string::npos) << error;
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    EXPECT_EQ(reserved(), std::set<std::string>());
}

INSTANTIATE_TEST_SUITE_P(
    Cni, CniMacvlanDamageTest,
    testing::Values(MacvlanDamage{"address flush dev eth0", "interface eth0 lacks the address 172.20.7.51/24"},
                    MacvlanDamage{"route del default", "the route 0.0.0.0/0 of interface eth0 is missing"},
                    MacvlanDamage{"link set eth0 down", "interface eth0 is down"},
                    MacvlanDamage{"link set eth0 address 02:00:00:00:00:99", "eth0 has MAC 02:00:00:00:00:99"},
                    MacvlanDamage{"link set eth0 mtu 1300", "interface eth0 has MTU 1300, not 1500"},
                    MacvlanDamage{"link set eth0 type macvlan mode private", "eth0 is in mode private, not bridge"},
                    MacvlanDamage{"link set eth0 name eth9", "interface eth0 of the container is missing"},
                    MacvlanDamage{"link del eth0", "interface eth0 of the container is missing"}));

TEST_F(CniMacvlanTest, Check_NoticesAnotherMasterAnotherKindAndALostReservation) {
    const Container container("c1");
    auto plugin = macvlan_runtime();
    const auto result = plugin.add(container);
    plugin.config["master"] = "eth0";
    auto error = expect_error(plugin.call("CHECK", container, {{"prevResult", result}}), 101);
    EXPECT_NE(error.value("msg", "").find("eth0 hangs on em2, not on eth0"), std::string::npos) << error;
    plugin.config["master"] = "em2";
    std::filesystem::remove_all(store());
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_NE(checked.out.find("host-local"), std::string::npos) << checked.describe();
    ip(container.ns, "link del eth0");
    ip(container.ns, "link add eth0 type bridge");
    error = expect_error(plugin.call("CHECK", container, {{"prevResult", result}}), 101);
    EXPECT_NE(error.value("msg", "").find("interface eth0 is no macvlan device"), std::string::npos) << error;
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    EXPECT_TRUE(has_link(container.ns, "eth0")) << "not ours";
}

// The kernel takes its macvlan devices along.
TEST_F(CniMacvlanTest, Check_AcceptsThatTheDeviceFollowedItsMastersMtu) {
    const Container container("c1");
    const auto plugin = macvlan_runtime();
    const auto result = plugin.add(container);
    ip(node().ns(), "link set em2 mtu 1400");
    EXPECT_EQ(ip_json(container.ns, "link show dev eth0")[0]["mtu"], 1400);
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
}

}  // namespace
}  // namespace podlane::net
