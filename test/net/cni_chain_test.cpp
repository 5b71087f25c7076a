// SPDX-License-Identifier: Apache-2.0
// podlane in a chain of plugins, with Debian's reference plugins before and after it.
//
//   container c1 (lo by loopback, eth0 by podlane, port 80) --- node 1, port 8080 by portmap === node 2
#include <array>
#include <future>

#include "test/net/cni_runtime.h"
#include "test/net/harness/socket.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

class CniChainTest : public CniNode {
protected:
    [[nodiscard]] unsigned node_count() const override { return 2; }
    [[nodiscard]] CniRuntime reference_plugin(const char* type) {
        auto plugin = runtime("1.0.0");  // the newest that Debian's plugins speak
        plugin.plugin = fmt::format("/usr/lib/cni/{}", type);
        plugin.config = {{"cniVersion", "1.0.0"}, {"name", "podlane"}, {"type", type}};
        return plugin;
    }
};

TEST_F(CniChainTest, PrevResultOfAnEarlierPlugin_IsPassedOnWithOursAppended) {
    const Container container("c1");
    auto loopback = reference_plugin("loopback");
    Container lo("lo-of-c1");  // loopback wants CNI_IFNAME lo
    lo.if_name = "lo";
    loopback.netns = container.ns.path().string();
    const auto prev = loopback.add(lo);
    ASSERT_EQ(prev["interfaces"][0]["name"], "lo");

    const auto plugin = runtime("1.0.0");
    const auto result = plugin.add(container, {{"prevResult", prev}});
    EXPECT_EQ(result["interfaces"].size(), 3U) << result.dump();
    EXPECT_EQ(result["interfaces"][0], prev["interfaces"][0]);
    EXPECT_EQ(result["interfaces"][2]["name"], "eth0");
    const auto ours = result["ips"].size() - 1;
    EXPECT_EQ(result["ips"][0], prev["ips"][0]);
    EXPECT_EQ(result["ips"][ours]["interface"], 2);
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(plugin.call("DEL", container, {{"prevResult", result}}).ok());
}

TEST_F(CniChainTest, InterfaceOfAnEarlierPlugin_IsRefusedAndSurvivesDel) {
    const Container container("c1");
    auto ptp = reference_plugin("ptp");
    ptp.config["ipam"] = {{"type", "host-local"}, {"ranges", {{{{"subnet", "192.168.99.0/24"}}}}}};
    const auto prev = ptp.add(container);
    const auto plugin = runtime("1.0.0");
    const auto error = expect_error(plugin.call("ADD", container, {{"prevResult", prev}}), 7);
    EXPECT_EQ(error.value("msg", ""),
              "prevResult: interface eth0 is a veth device; of another plugin's podlane adopts macvlan only");
    EXPECT_TRUE(plugin.call("DEL", container, {{"prevResult", prev}}).ok());
    EXPECT_TRUE(has_link(container.ns, "eth0"));
    EXPECT_TRUE(ptp.call("DEL", container).ok());
}

// Whatever a connection to `target` is told first; nothing when it fails.
std::string first_words(const Namespace& from, const SocketAddress& target) {
    const Fd client = client_socket(from, SOCK_STREAM, 3s);
    std::array<char, 64> words{};
    if (!connect_to(client, target)) {
        return {};
    }
    const ssize_t count = ::recv(client.get(), words.data(), words.size(), 0);
    return {words.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
}

TEST_F(CniChainTest, PortmapAfterPodlane_MakesThePodReachableFromOtherNodes) {
    const Container container("c1");
    const auto plugin = runtime("1.0.0");
    const auto result = plugin.add(container);
    const auto address = result["ips"][0]["address"].get<std::string>();
    const auto pod = *Ipv4Address::parse(address.substr(0, address.find('/')));
    const Fd server = server_socket(container.ns, pod, SOCK_STREAM, 5s);
    auto portmap = reference_plugin("portmap");
    portmap.config["runtimeConfig"]["portMappings"] = {
        {{"hostPort", 8080}, {"containerPort", local_address(server).port}, {"protocol", "tcp"}}};
    auto passed_on = portmap.add(container, {{"prevResult", result}});
    passed_on.erase("dns");  // portmap adds an empty one
    EXPECT_EQ(passed_on, result);

    auto greeting = std::async(std::launch::async, [&] {
        const Fd connection(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
        return ::send(connection.get(), "pod", 3, MSG_NOSIGNAL);
    });
    EXPECT_EQ(first_words(node(2).ns(), {node(1).address(), 8080}), "pod");
    EXPECT_EQ(greeting.get(), 3);

    EXPECT_TRUE(portmap.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_TRUE(plugin.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_EQ(first_words(node(2).ns(), {node(1).address(), 8080}), "");
    expect_nothing_left();
}

}  // namespace
}  // namespace podlane::net
