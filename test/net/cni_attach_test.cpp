// SPDX-License-Identifier: Apache-2.0
// ADD, CHECK and DEL of one attachment: what the runtime is told against what `ip` sees.
//
//   container c1 eth0 --- pl............. node 1 (podCIDR 10.244.1.0/24, podlane-agent)
#include <sys/stat.h>

#include <future>
#include <set>

#include "test/net/cni_runtime.h"

namespace podlane::net {
namespace {

class CniVersionTest : public CniNode, public testing::WithParamInterface<const char*> {};

// The whole result, built from what the kernel says.
Json expected_result(const Json& host, const Json& inside, const Container& container, const std::string& version) {
    Json result = Json::parse(R"({"routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}],
                                  "ips": [{"gateway": "10.244.1.1", "interface": 1}]})");
    result["cniVersion"] = version;
    result["interfaces"] = {{{"name", host["ifname"]}, {"mac", host["address"]}},
                            {{"name", "eth0"}, {"mac", inside["address"]}, {"sandbox", container.ns.path().string()}}};
    result["ips"][0]["address"] = inside["addr_info"][0]["local"].get<std::string>() + "/32";
    if (version < "1.0.0") {
        result["ips"][0]["version"] = "4";
    }
    if (version == "1.1.0") {
        result["interfaces"][0]["mtu"] = host["mtu"];
        result["interfaces"][1]["mtu"] = inside["mtu"];
    }
    return result;
}

TEST_P(CniVersionTest, AddCheckAndDel_DoWhatTheyReport) {
    const Container container("c1");
    const auto plugin = runtime(GetParam());
    const auto result = plugin.add(container);
    const auto veths = names_of_veths(node().ns());
    ASSERT_EQ(veths.size(), 1U);
    const auto host = ip_json(node().ns(), "address show dev " + veths[0])[0];
    const auto inside = ip_json(container.ns, "address show dev eth0")[0];
    EXPECT_EQ(result, expected_result(host, inside, container, GetParam()));

    if (std::string_view(GetParam()) >= "0.4.0") {
        const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
        EXPECT_TRUE(checked.ok()) << checked.describe();
        EXPECT_EQ(checked.out, "");
    }
    for (const char* const round : {"first", "second"}) {
        const auto deleted = plugin.call("DEL", container, {{"prevResult", result}});
        EXPECT_TRUE(deleted.ok()) << round << ": " << deleted.describe();
        EXPECT_EQ(deleted.out, "");
        EXPECT_FALSE(has_link(container.ns, "eth0"));
        expect_nothing_left();
    }
}

INSTANTIATE_TEST_SUITE_P(Cni, CniVersionTest, testing::Values("0.3.1", "0.4.0", "1.0.0", "1.1.0"));

class CniAttachTest : public CniNode {};

TEST_F(CniAttachTest, Add_ConfiguresBothSides) {
    const Container container("c1");
    const auto result = runtime().add(container);
    const auto inside = ip_json(container.ns, "address show dev eth0")[0];
    EXPECT_EQ(inside["mtu"], 1450);  // the underlay's 1500 less VXLAN's 50
    ASSERT_EQ(inside["addr_info"].size(), 1U) << "an IPv6 address beside: " << inside.dump();
    EXPECT_EQ(inside["addr_info"][0]["prefixlen"], 32);
    EXPECT_EQ(get_sysctl(container.ns, "net/ipv6/conf/eth0/disable_ipv6"), "1");
    const auto routes = ip_json(container.ns, "route show");
    ASSERT_EQ(routes.size(), 2U) << routes.dump();
    EXPECT_EQ(routes[0]["dst"], "default");
    EXPECT_EQ(routes[0]["gateway"], "10.244.1.1");
    EXPECT_EQ(routes[1]["dst"], "10.244.1.1");
    EXPECT_EQ(routes[1]["scope"], "link");

    const auto host = ip_json(node().ns(), "address show dev " + result["interfaces"][0]["name"].get<std::string>())[0];
    EXPECT_EQ(host["mtu"], 1450);
    EXPECT_EQ(host["addr_info"], Json::array());
    EXPECT_EQ(host["ifalias"],
              fmt::format("podlane1 c1 eth0 {} {} 10.244.1.1 default/c1",
                          inside["addr_info"][0]["local"].get<std::string>(), inside["address"].get<std::string>()));
    EXPECT_TRUE(runtime().call("DEL", container).ok());
}

TEST_F(CniAttachTest, Add_LeavesARecordForRootOnly) {
    const Container container("c1");
    const auto result = runtime().add(container);
    struct stat status{};
    ASSERT_EQ(::stat(record(container).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    const auto pods = node().agentctl_json({"pod", "list"});
    ASSERT_EQ(pods.size(), 1U);
    EXPECT_EQ(pods[0]["namespace"], "default");
    EXPECT_EQ(pods[0]["name"], "c1");
    EXPECT_EQ(pods[0]["ip"].get<std::string>() + "/32", result["ips"][0]["address"].get<std::string>());
    EXPECT_TRUE(runtime().call("DEL", container).ok());
    EXPECT_FALSE(std::filesystem::exists(record(container)));
}

TEST_F(CniAttachTest, PodIsReachable_TheMomentAddReturns) {
    const Container a("a");
    const Container b("b");
    const auto plugin = runtime();
    (void)plugin.add(a);
    const auto address = plugin.add(b)["ips"][0]["address"].get<std::string>();
    const auto pinged = ping(a.ns, *Ipv4Address::parse(address.substr(0, address.find('/'))), 1);
    EXPECT_EQ(pinged.answered, 1U) << pinged.output;
    EXPECT_TRUE(plugin.call("DEL", a).ok());
    EXPECT_TRUE(plugin.call("DEL", b).ok());
}

TEST_F(CniAttachTest, ConcurrentAdds_GetDifferentAddresses) {
    constexpr int count = 12;
    std::vector<std::unique_ptr<Container>> containers;
    std::vector<std::future<Completed>> calls;
    containers.reserve(count);
    calls.reserve(count);
    const auto plugin = runtime();
    for (int i = 0; i < count; ++i) {
        containers.push_back(std::make_unique<Container>(fmt::format("c{}", i)));
    }
    for (const auto& container : containers) {
        calls.push_back(std::async(std::launch::async, [&] { return plugin.call("ADD", *container); }));
    }
    std::set<std::string> addresses;
    for (auto& call : calls) {
        const auto added = call.get();
        ASSERT_TRUE(added.ok()) << added.describe();
        addresses.insert(Json::parse(added.out)["ips"][0]["address"]);
    }
    EXPECT_EQ(addresses.size(), count);
    for (const auto& container : containers) {
        EXPECT_TRUE(plugin.call("DEL", *container).ok());
    }
    expect_nothing_left();
}

TEST_F(CniAttachTest, RoutesOfTheIpamPlugin_AreSetUpAndReported) {
    const Container container("c1");
    auto plugin = runtime();
    plugin.config["ipam"] = Json::parse(R"({"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]],
        "dataDir": "/var/lib/cni/networks", "routes": [{"dst": "10.96.0.0/12"}, {"dst": "10.97.0.0/16", "gw": "10.244.1.9"}]})");
    plugin.config["mtu"] = 1400;
    const auto result = plugin.add(container);
    EXPECT_EQ(result["routes"], Json::parse(R"([{"dst": "10.96.0.0/12", "gw": "10.244.1.1"},
                                                {"dst": "10.97.0.0/16", "gw": "10.244.1.9"},
                                                {"dst": "0.0.0.0/0", "gw": "10.244.1.1"}])"));
    std::set<std::pair<std::string, std::string>> routes;
    for (const auto& route : ip_json(container.ns, "route show")) {
        routes.emplace(route["dst"], route.value("gateway", "-"));
    }
    EXPECT_EQ(routes, (std::set<std::pair<std::string, std::string>>{{"default", "10.244.1.1"},
                                                                     {"10.244.1.1", "-"},
                                                                     {"10.96.0.0/12", "10.244.1.1"},
                                                                     {"10.97.0.0/16", "10.244.1.9"}}));
    EXPECT_EQ(ip_json(container.ns, "link show dev eth0")[0]["mtu"], 1400);
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
}

struct Damage {
    const char* inside;   // `ip` arguments for the container, or nothing
    const char* on_host;  // for the node; {} is the host side
    const char* message;
};

class CniDamageTest : public CniNode, public testing::WithParamInterface<Damage> {};

TEST_P(CniDamageTest, Check_NamesWhatIsWrong) {
    const Container container("c1");
    const auto plugin = runtime();
    const auto result = plugin.add(container);
    const auto& damage = GetParam();
    if (*damage.inside != '\0') {
        ip(container.ns, damage.inside);
    }
    if (*damage.on_host != '\0') {
        ip(node().ns(), fmt::format(fmt::runtime(damage.on_host), result["interfaces"][0]["name"].get<std::string>()));
    }
    const auto error = expect_error(plugin.call("CHECK", container, {{"prevResult", result}}), 101);
    EXPECT_NE(error.value("msg", "").find(damage.message), std::string::npos) << error.dump();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    expect_nothing_left();
}

INSTANTIATE_TEST_SUITE_P(
    Cni, CniDamageTest,
    testing::Values(Damage{"address flush dev eth0", "", "interface eth0 lacks the address"},
                    Damage{"route del default", "", "the route 0.0.0.0/0 via 10.244.1.1 of interface eth0 is missing"},
                    Damage{"link set eth0 down", "", "interface eth0 is down"},
                    Damage{"link set eth0 address 02:00:00:00:00:99", "", "interface eth0 has MAC 02:00:00:00:00:99"},
                    Damage{"link set eth0 mtu 1300", "", "interface eth0 has MTU 1300, not 1450"},
                    Damage{"link set eth0 name eth9", "", "interface eth0 of the container is missing"},
                    Damage{"link del eth0", "", "of the host is missing"}, Damage{"", "link set {} down", "is down"}));

// The pair was made with 1450, and that is what the result says.
TEST_F(CniAttachTest, Check_AcceptsThatTheLinkFollowedTheUnderlaysMtu) {
    const Container container("c1");
    const auto plugin = runtime();
    const auto result = plugin.add(container);
    ip(node().ns(), "link set eth0 mtu 1400");
    const auto inside = [&] { return ip_json(container.ns, "link show dev eth0")[0]["mtu"] == 1350; };
    ASSERT_TRUE(wait_until(inside, std::chrono::seconds(5))) << ip_json(container.ns, "link show dev eth0");
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
}

TEST_F(CniAttachTest, Check_NoticesALostReservation) {
    const Container container("c1");
    const auto plugin = runtime();
    const auto result = plugin.add(container);
    std::filesystem::remove_all(node().run_dir() / "ipam");
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_EQ(checked.status, 1) << checked.describe();
    EXPECT_NE(checked.out.find("host-local"), std::string::npos) << checked.out;
    EXPECT_TRUE(plugin.call("DEL", container).ok());
}

}  // namespace
}  // namespace podlane::net
