// SPDX-License-Identifier: Apache-2.0
// A whole agent under a service manager: one node (192.168.0.1) on the wire, and a socket in the manager's role.
#include <sys/socket.h>
#include <sys/un.h>

#include <array>

#include <gmock/gmock.h>

#include "test/net/harness/sandbox.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

class AgentServiceTest : public testing::Test {
protected:
    void SetUp() override {
        sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
        const auto path = (files_.path() / "notify").string();
        std::ranges::copy(path, address.sun_path);
        ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        auto command = node_.agent_arguments();
        command.insert(command.begin(), (program_dir() / "podlane-agent").string());
        agent_ = std::make_unique<Process>(
            node_.ns(), command,
            RunOptions{.input = "", .environment = {"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=600000"}});
    }
    // Everything so far, in lines, for as long as `text` is not in it.
    bool told(const std::string& text) {
        return wait_until(
            [&] {
                std::array<char, 4096> part{};
                for (ssize_t size = 0; (size = ::recv(socket_.get(), part.data(), part.size(), MSG_DONTWAIT)) >= 0;) {
                    told_.append(part.data(), static_cast<std::size_t>(size)).append("\n");
                }
                return told_.find(text) != std::string::npos;
            },
            10s);
    }

    TempDir files_{"service"};
    Fd socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    std::string told_;
    Underlay underlay_;
    Node node_{
        underlay_,
        {.name = "n1", .internal_ip = Cluster::node_address(1), .pod_cidr = Cluster::pod_cidr(1), .extra_config = ""}};
    std::unique_ptr<Process> agent_;
};

TEST_F(AgentServiceTest, AgentIsReadyWithItsFirstState_AndTellsOfReloadAndEnd) {
    ASSERT_TRUE(told("STATUS=the cluster's state has not been read yet")) << told_;
    EXPECT_THAT(told_, HasSubstr("WATCHDOG=1\nEXTEND_TIMEOUT_USEC="));
    EXPECT_THAT(told_, testing::Not(HasSubstr("READY=1")));

    node_.write_state(to_node_list({{"n1", node_.address(), {node_.pod_cidr()}, {}}}));
    ASSERT_TRUE(told("READY=1")) << told_;
    EXPECT_EQ(node_.agentctl({"status"}).status, 0);

    // Executed anew, in place: the same process, with the same manager.
    told_.clear();
    agent_->signal(SIGHUP);
    ASSERT_TRUE(told("RELOADING=1\nMONOTONIC_USEC=")) << told_;
    ASSERT_TRUE(told("READY=1")) << told_;
    told_.clear();
    ASSERT_TRUE(told("WATCHDOG=1")) << told_;

    agent_->signal(SIGTERM);
    EXPECT_EQ(agent_->wait(10s), 0);
    EXPECT_TRUE(told("STOPPING=1")) << told_;
}

}  // namespace
}  // namespace podlane::net
