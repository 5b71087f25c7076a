// SPDX-License-Identifier: Apache-2.0
// The paths to peers over the kernel's real FIB, when the kernel answers and when its answers are lost. The kernel is
// that of link_kernel.h:
//
//   eth0 10.0.0.1/24 ---- wire;  peers 10.0.1.0 and up: on the link by a route, or behind 10.0.0.254
#include <sys/socket.h>

#include <gmock/gmock.h>

#include "agent/netlink/neighbour.h"
#include "agent/node/peer_paths.h"
#include "test/net/link_kernel.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

constexpr std::uint32_t peer_count = 600;  // more than one window of requests

// The latest of this process's sockets of that domain and type.
template <typename Wanted>
int descriptor_of(Wanted wanted) {
    int found = -1;
    for (int fd = 0; fd < 1024; ++fd) {
        int domain = 0;
        int type = 0;
        socklen_t length = sizeof(int);
        if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
            ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && wanted(domain, type)) {
            found = fd;
        }
    }
    return found;
}

class PeerPathsTest : public LinkKernelTest {
protected:
    PeerPathsTest()
        : fd_(descriptor_of([](int domain, int) { return domain == AF_NETLINK; })), loop_(EventLoop::create()) {
        ip("route add 10.0.1.0/24 dev eth0");
        cluster_.nodes["self"] = {.name = "self",
                                  .internal_ip = address("10.0.0.1"),
                                  .vtep = address("10.0.0.1"),
                                  .other_ips = {},
                                  .pod_cidrs = {},
                                  .flannel_mac = {},
                                  .self = true};
        add_peers(peer_count);
    }

    // Until there are `count`.
    void add_peers(std::size_t count) {
        for (auto number = static_cast<std::uint32_t>(cluster_.nodes.size()) - 1; number < count; ++number) {
            const auto at = Ipv4Address::from_host(address("10.0.1.0").host() + number);
            const auto name = fmt::format("peer{:03}", number);
            cluster_.nodes[name] = {.name = name,
                                    .internal_ip = at,
                                    .vtep = at,
                                    .other_ips = {},
                                    .pod_cidrs = {},
                                    .flannel_mac = {},
                                    .self = false};
        }
    }
    [[nodiscard]] std::unique_ptr<PeerPaths> created(PathMode mode = PathMode::vxlan) {
        return std::move(PeerPaths::create(**loop_, mode, [] {}).value());
    }
    [[nodiscard]] Result<void> refresh(PeerPaths& paths) {
        return paths.refresh(socket(), cluster_, netlink::list_links(socket()).value(), 0);
    }
    // The kernel drops its answers and says so with ENOBUFS, until there is room again.
    void lose_answers() { set_room(1); }
    void lose_no_answers() { set_room(4 << 20); }
    [[nodiscard]] static SubsystemHealth reported(const PeerPaths& paths) {
        HealthBoard health({"peers"});
        paths.report(health);
        return health.subsystems().front();
    }

    int fd_;
    Result<std::unique_ptr<EventLoop>> loop_;
    Cluster cluster_;

private:
    void set_room(int bytes) const {
        ASSERT_EQ(::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)), 0);
    }
};

TEST_F(PeerPathsTest, AnswersThatAreLost_LeaveEveryPathAsItWas) {
    auto paths = created();
    ASSERT_TRUE(succeeded(refresh(*paths)));
    const auto before = paths->all();
    ASSERT_EQ(before.size(), peer_count);
    EXPECT_EQ(before.at("peer007").path, NODE_PATH_VXLAN);
    EXPECT_EQ(before.at("peer007").next_hop, address("10.0.1.7"));
    EXPECT_EQ(before.at("peer007").mtu, 1500U) << "the device's, where the route has none";
    EXPECT_EQ(before.at("peer300").next_hop, address("10.0.0.254"));
    EXPECT_EQ(reported(*paths).state, HealthState::ok);

    const auto links = netlink::list_links(socket()).value();
    lose_answers();
    ASSERT_TRUE(succeeded(paths->refresh(socket(), cluster_, links, 0)));
    EXPECT_EQ(paths->all(), before);
    EXPECT_TRUE(paths->is_stale());
    EXPECT_EQ(reported(*paths).state, HealthState::degraded);
    EXPECT_THAT(reported(*paths).reason, HasSubstr("No buffer space available"));

    lose_no_answers();
    ASSERT_TRUE(succeeded(refresh(*paths)));
    EXPECT_FALSE(paths->is_stale());
    EXPECT_EQ(reported(*paths).state, HealthState::ok);
}

TEST_F(PeerPathsTest, VerdictOfTheKernel_EndsThePath) {
    auto paths = created();
    ASSERT_TRUE(succeeded(refresh(*paths)));
    ip("route del default");
    ip("route add unreachable 10.0.1.7");
    ASSERT_TRUE(succeeded(refresh(*paths)));
    EXPECT_EQ(paths->all().at("peer006").path, NODE_PATH_VXLAN);
    EXPECT_EQ(paths->all().at("peer007").path, NODE_PATH_UNREACHABLE);
    EXPECT_EQ(paths->all().at("peer300").path, NODE_PATH_UNREACHABLE);
    EXPECT_FALSE(paths->is_stale());
}

// An agent that starts would otherwise take an earlier one's routes away.
TEST_F(PeerPathsTest, AnswersLostAtTheFirstPass_AreAnErrorAndNoConclusion) {
    auto paths = created();
    const auto links = netlink::list_links(socket()).value();
    lose_answers();
    const auto refreshed = paths->refresh(socket(), cluster_, links, 0);
    ASSERT_FALSE(refreshed);
    EXPECT_THAT(refreshed.error().message, HasSubstr("No buffer space available"));
    EXPECT_EQ(reported(*paths).state, HealthState::degraded);
    lose_no_answers();
    ASSERT_TRUE(succeeded(refresh(*paths)));
    EXPECT_EQ(paths->all().size(), peer_count);
}

// Listed before it came: its own netlink event leads to the pass that knows it.
TEST_F(PeerPathsTest, DeviceThatIsNewerThanTheList_LeavesThePathAsItWas) {
    auto paths = created();
    ASSERT_TRUE(succeeded(refresh(*paths)));
    const auto links = netlink::list_links(socket()).value();
    ip("link add late type veth peer name later");
    ip("link set later up");
    ip("link set late up");
    ip("route add 10.0.1.7/32 dev late");
    ASSERT_TRUE(succeeded(paths->refresh(socket(), cluster_, links, 0)));
    EXPECT_EQ(paths->all().at("peer007").device, "eth0");
    ASSERT_TRUE(succeeded(refresh(*paths)));
    EXPECT_EQ(paths->all().at("peer007").device, "late");
}

// The limit is the machine's, so it is the number of peers that changes here.
TEST_F(PeerPathsTest, MorePeersOnTheLinkThanTheArpTableHasRoomFor_DegradeWithTheCommandThatMendsIt) {
    const auto limit = netlink::neighbour_limit(socket()).value();
    if (limit > 30000) {
        GTEST_SKIP() << "this machine's ARP table has room for " << limit;
    }
    const auto most = limit / 4 * 3;
    ip("route add 10.0.0.0/16 dev eth0");
    std::erase_if(cluster_.nodes, [](const auto& entry) { return !entry.second.self; });
    auto paths = created(PathMode::automatic);
    add_peers(most);
    ASSERT_TRUE(succeeded(refresh(*paths)));
    EXPECT_EQ(reported(*paths).state, HealthState::ok);

    add_peers(most + 1);
    ASSERT_TRUE(succeeded(refresh(*paths)));
    EXPECT_EQ(reported(*paths).state, HealthState::degraded);
    EXPECT_THAT(reported(*paths).reason, HasSubstr(fmt::format("{} peers are on the link", most + 1)));
    EXPECT_THAT(reported(*paths).reason, HasSubstr(fmt::format("room for {}", limit)));
    EXPECT_THAT(reported(*paths).action, MatchesRegex("sysctl -w net.ipv4.neigh.default.gc_thresh3=[0-9]+"));
}

// What answers while the agent is busy with a pass waits in the socket.
TEST_F(PeerPathsTest, SocketOfTheProbes_HasRoomForTheAnswersOfThousands) {
    const auto paths = created(PathMode::automatic);
    const int fd = descriptor_of([](int domain, int type) { return domain == AF_INET && type == SOCK_RAW; });
    int room = 0;
    socklen_t length = sizeof(room);
    ASSERT_EQ(::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, &length), 0);
    EXPECT_GE(room, 4 << 20);
}

}  // namespace
}  // namespace podlane::net
