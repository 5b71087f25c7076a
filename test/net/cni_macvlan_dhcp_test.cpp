// SPDX-License-Identifier: Apache-2.0
// Addresses from a DHCP server of the LAN, by Debian's IPAM plugin `dhcp` and its daemon: it asks, and gives back,
// through the container's own interface.
//
//   container c1 eth0 - - em2 172.20.7.100/24 :node 1 (podlane-agent, dhcp daemon)
//        (macvlan)         |
//               [ bridge lan ] --- eth0 172.20.7.200/24 :neighbour (udhcpd)
#include <algorithm>

#include "test/net/cni_macvlan_scene.h"
#include "test/net/harness/capture.h"
#include "test/net/harness/temp_dir.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

class CniMacvlanDhcpTest : public MacvlanLan {
protected:
    void SetUp() override {
        if (!std::filesystem::exists("/bin/busybox") || !std::filesystem::exists("/usr/lib/cni/dhcp")) {
            GTEST_SKIP() << "this machine lacks busybox or the IPAM plugin dhcp";
        }
        MacvlanLan::SetUp();
        start_server();
        daemon_ = std::make_unique<Process>(
            node().ns(), std::vector<std::string>{"/usr/lib/cni/dhcp", "daemon", "-socketpath", socket().string(),
                                                  "-timeout", "2s", "-resendmax", "4s"});
        ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(socket()); }, 5s)) << daemon_->output();
    }
    [[nodiscard]] std::filesystem::path socket() const { return files_.path() / "dhcp.sock"; }
    [[nodiscard]] CniRuntime dhcp_runtime() {
        auto plugin = macvlan_runtime();
        plugin.config["ipam"] = {{"type", "dhcp"}, {"daemonSocketPath", socket().string()}};
        return plugin;
    }

private:
    void start_server() {
        const auto config = files_.path() / "udhcpd.conf";
        const auto leases = files_.path() / "leases";
        std::ofstream(leases).flush();
        std::ofstream(config) << "start 172.20.7.60\nend 172.20.7.60\ninterface eth0\n"
                              << "option subnet 255.255.255.0\noption router 172.20.7.254\n"
                              << "lease_file " << leases.string() << "\npidfile "
                              << (files_.path() / "udhcpd.pid").string() << "\n";
        server_ = std::make_unique<Process>(neighbour(),
                                            std::vector<std::string>{"/bin/busybox", "udhcpd", "-f", config.string()});
    }

    TempDir files_{"dhcp"};
    std::unique_ptr<Process> server_;
    std::unique_ptr<Process> daemon_;
};

// RFC 2131: the message type, option 53, is 7.
bool is_release(const Frame& frame) {
    const auto packet = decode_ipv4_frame(frame.bytes);
    constexpr std::array<std::uint8_t, 3> type{53, 1, 7};
    return packet && packet->udp && packet->udp->destination == 67 &&
           !std::ranges::search(packet->payload, type).empty();
}

TEST_F(CniMacvlanDhcpTest, Address_IsAskedForAndGivenBackThroughTheDevice) {
    const Container container("c1");
    const auto plugin = dhcp_runtime();
    const auto result = plugin.add(container);
    ASSERT_FALSE(result.is_null());
    EXPECT_EQ(result["ips"][0]["address"], "172.20.7.60/24");
    EXPECT_EQ(ping(container.ns, *Ipv4Address::parse("172.20.7.200"), 1).answered, 1U);
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    Capture capture(neighbour(), "eth0", is_release);
    EXPECT_TRUE(plugin.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_TRUE(capture.wait_for_frame(3s)) << "no DHCPRELEASE";
    expect_no_trace_of(container);
}

TEST_F(CniMacvlanDhcpTest, WithoutAnAnswer_NothingIsLeft) {
    ip(lan(), "link set neighbour down");
    const Container container("c1");
    const auto refused = dhcp_runtime().call("ADD", container);
    EXPECT_EQ(refused.status, 1) << refused.describe();
    EXPECT_NE(refused.out.find("dhcp: "), std::string::npos) << refused.out;
    expect_no_trace_of(container);
}

}  // namespace
}  // namespace podlane::net
