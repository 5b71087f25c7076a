// SPDX-License-Identifier: Apache-2.0
// underlay.xdp: auto on a driver that is worth a trial. No namespace has hardware, so a veth is taken for it here; the
// driver, its refusals and the links are real. The kernel is that of link_kernel.h.
//
//   eth0 [guard] ---- wire
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>

#include "agent/reconcile/guard_reconciler.h"
#include "test/net/harness/temp_dir.h"
#include "test/net/harness/xdp.h"
#include "test/net/link_kernel.h"

namespace podlane::net {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::optional<std::string> costs_nothing(const GuardCandidate&) {
    return std::nullopt;
}

class GuardReconcilerTest : public LinkKernelTest {
protected:
    GuardReconcilerTest() : files_("guard"), pins_(files_.path() / "bpf" / "podlane") {
        EXPECT_TRUE(succeeded(pins_.create()));
        EXPECT_TRUE(succeeded(Datapath::load(pins_, {})));  // makes the maps
    }

    // As an agent that starts: nothing is remembered.
    [[nodiscard]] GuardReconciler started(XdpMode mode, XdpBuffers buffers = XdpBuffers::one,
                                          CostOfNative cost = costs_nothing) {
        return {socket(), pins_, {.mode = mode, .buffers = buffers, .cost = cost}};
    }
    std::vector<std::string> pass(GuardReconciler& guard, const std::string& device = "eth0") {
        return guard.reconcile({}, {{Hook::from_underlay, ifindex(device), device}}).changes;
    }
    [[nodiscard]] static SubsystemHealth reported(const GuardReconciler& guard) {
        HealthBoard health({"guard"});
        guard.report(health);
        return health.subsystems().front();
    }
    [[nodiscard]] XdpHook hook() { return xdp_hook({ns_, "eth0"}); }
    // Of the pin, which goes with its link.
    [[nodiscard]] ino_t link_inode() {
        struct stat status{};
        const auto pin = pins_.link(fmt::format("underlay-guard-{}", ifindex("eth0")));
        return ::stat(pin.c_str(), &status) == 0 ? status.st_ino : 0;
    }

    TempDir files_;
    PinDirectory pins_;
};

TEST_F(GuardReconcilerTest, DriverThatTakesItAtNoCost_RunsIt) {
    auto guard = started(XdpMode::automatic);
    EXPECT_THAT(pass(guard), ElementsAre("attach eth0 underlay-guard (native)"));
    EXPECT_EQ(hook().mode, "native");
    EXPECT_EQ(reported(guard).state, HealthState::ok);
    EXPECT_EQ(reported(guard).reason, "eth0: native");
    EXPECT_THAT(guard.inspect(), ElementsAre(LinkItem{.kind = "hook",
                                                      .name = "eth0 underlay-guard",
                                                      .wanted = "auto",
                                                      .actual = "native",
                                                      .state = LinkState::ok}));
    EXPECT_THAT(pass(guard), IsEmpty()) << "a pass that finds all in order changes nothing";
}

TEST_F(GuardReconcilerTest, ReloadAndRestart_ReplaceTheProgramWithoutTakingItOff) {
    auto first = started(XdpMode::automatic);
    pass(first);
    const auto loaded_first = hook();
    const auto link = link_inode();
    EXPECT_NE(link, 0U);
    first.reload();
    pass(first);
    const auto loaded_second = hook();
    EXPECT_NE(loaded_second.program, loaded_first.program);
    EXPECT_EQ(loaded_second.mode, "native");
    auto second = started(XdpMode::automatic);
    pass(second);
    EXPECT_NE(hook().program, loaded_second.program);
    EXPECT_EQ(hook().mode, "native");
    EXPECT_EQ(link_inode(), link);
}

TEST_F(GuardReconcilerTest, DeviceThatIsNoUnderlayAnyMore_LosesIt) {
    auto guard = started(XdpMode::automatic);
    pass(guard);
    EXPECT_THAT(guard.reconcile({}, {}).changes, ElementsAre(HasSubstr("detach underlay-guard (native)")));
    EXPECT_EQ(hook(), XdpHook());
    EXPECT_THAT(guard.inspect(), IsEmpty());
}

TEST_F(GuardReconcilerTest, CostThatTurnsUpAfterARestart_TakesItOff) {
    auto insisting = started(XdpMode::native);
    pass(insisting);
    ASSERT_EQ(hook().mode, "native");
    auto choosing = started(XdpMode::automatic, XdpBuffers::several, cost_of_native);
    EXPECT_THAT(pass(choosing), ElementsAre("detach eth0 underlay-guard (native)"));
    EXPECT_EQ(hook(), XdpHook());
    EXPECT_EQ(reported(choosing).state, HealthState::ok);
}

TEST_F(GuardReconcilerTest, DriverWithoutNativeXdp_IsLeftToTc) {
    auto guard = started(XdpMode::automatic);
    EXPECT_THAT(pass(guard, "lo"), IsEmpty());
    EXPECT_EQ(reported(guard).state, HealthState::ok);
    EXPECT_EQ(reported(guard).reason, "lo: tc alone: the driver has no native XDP");
    auto insisting = started(XdpMode::native);
    pass(insisting, "lo");
    EXPECT_EQ(reported(insisting).state, HealthState::degraded);
    EXPECT_NE(reported(insisting).action, "");
}

// A veth takes a program for one buffer up to some 3,500 bytes of its peer's MTU.
TEST_F(GuardReconcilerTest, DriverThatRefused_IsAskedAgainOnlyWhereTheOperatorInsists) {
    ip("link set wire mtu 9000");
    auto choosing = started(XdpMode::automatic);
    pass(choosing);
    EXPECT_THAT(reported(choosing).reason, HasSubstr("tc alone: the driver refuses it"));
    auto insisting = started(XdpMode::native);
    pass(insisting);
    EXPECT_EQ(reported(insisting).state, HealthState::degraded);
    EXPECT_EQ(hook(), XdpHook());

    ip("link set wire mtu 1500");
    pass(choosing);
    EXPECT_EQ(hook(), XdpHook()) << "a trial costs packets on many drivers";
    EXPECT_THAT(reported(choosing).reason, HasSubstr("tc alone: the driver refuses it"));
    pass(insisting);
    EXPECT_EQ(hook().mode, "native");
    EXPECT_EQ(reported(insisting).state, HealthState::ok);
}

TEST_F(GuardReconcilerTest, DriverThatRefused_IsNotAskedAgainAfterAPassWithoutItsDevice) {
    ip("link set wire mtu 9000");
    auto guard = started(XdpMode::automatic);
    pass(guard);
    ip("link set wire mtu 1500");
    EXPECT_THAT(guard.reconcile({}, {}).changes, IsEmpty());
    EXPECT_THAT(pass(guard), IsEmpty());
    EXPECT_THAT(reported(guard).reason, HasSubstr("tc alone: the driver refuses it"));
}

// Under the same number it is another device, which was never asked.
TEST_F(GuardReconcilerTest, DeviceThatCameAnew_IsAsked) {
    ip("link set wire mtu 9000");
    auto guard = started(XdpMode::automatic);
    pass(guard);
    const auto number = ifindex("eth0");
    ip("link del eth0");
    EXPECT_THAT(guard.reconcile({}, {}).changes, IsEmpty());
    ip(fmt::format("link add eth0 index {} type veth peer name wire", number));
    EXPECT_THAT(pass(guard), ElementsAre("attach eth0 underlay-guard (native)"));
}

// What we lack is not the driver's doing: as soon as it is there the guard is too.
TEST_F(GuardReconcilerTest, FailureOfOurOwn_IsNoRefusalOfTheDriver) {
    auto guard = started(XdpMode::automatic);
    const auto map = pins_.map("nodes_by_ipv4");
    const auto aside = pins_.map("aside");
    std::filesystem::rename(map, aside);
    EXPECT_THAT(pass(guard), IsEmpty());
    EXPECT_THAT(reported(guard).reason, AllOf(HasSubstr("nodes_by_ipv4"), Not(HasSubstr("driver"))));
    std::filesystem::rename(aside, map);

    ASSERT_EQ(::rmdir(pins_.links().c_str()), 0);
    EXPECT_THAT(pass(guard), IsEmpty());
    EXPECT_THAT(reported(guard).reason, AllOf(HasSubstr("there is no directory"), Not(HasSubstr("driver"))));
    ASSERT_EQ(::mkdir(pins_.links().c_str(), 0700), 0);

    EXPECT_THAT(pass(guard), ElementsAre("attach eth0 underlay-guard (native)"));
    EXPECT_EQ(hook().mode, "native");
}

// It may come between our look at the hook and our link.
TEST_F(GuardReconcilerTest, PlaceThatIsTaken_IsNoRefusalOfTheDriver) {
    const auto program = GuardProgram::load(pins_, {}, XdpBuffers::one);
    ASSERT_TRUE(succeeded(program));
    const GuardLinks links(pins_);
    {
        const ForeignXdp foreign({ns_, "eth0"});
        const auto attached = links.attach(ifindex("eth0"), program->fd(), GuardMode::native);
        ASSERT_FALSE(attached);
        EXPECT_FALSE(attached.error().by_driver) << attached.error().error.message;
    }
    const auto without_xdp = links.attach(ifindex("lo"), program->fd(), GuardMode::native);
    ASSERT_FALSE(without_xdp);
    EXPECT_TRUE(without_xdp.error().by_driver) << without_xdp.error().error.message;
}

TEST_F(GuardReconcilerTest, ForeignProgram_KeepsItsPlaceAndLeavesItWhenItGoes) {
    auto guard = started(XdpMode::automatic);
    {
        const ForeignXdp foreign({ns_, "eth0"});
        const auto theirs = hook();
        EXPECT_THAT(pass(guard), IsEmpty());
        EXPECT_THAT(reported(guard).reason, HasSubstr("another XDP program runs there: somebody_elses"));
        EXPECT_EQ(hook(), theirs);
    }
    EXPECT_THAT(pass(guard), ElementsAre("attach eth0 underlay-guard (native)"));
}

// Over maps of its own, which nobody fills, it would refuse every node.
TEST_F(GuardReconcilerTest, MapThatIsNotPinned_KeepsItOff) {
    ASSERT_EQ(::unlink(pins_.map("nodes_by_ipv4").c_str()), 0);
    auto guard = started(XdpMode::native);
    pass(guard);
    EXPECT_EQ(reported(guard).state, HealthState::degraded);
    EXPECT_THAT(reported(guard).reason, HasSubstr("nodes_by_ipv4"));
    EXPECT_EQ(hook(), XdpHook());
}

TEST_F(GuardReconcilerTest, NoPlaceForThePin_AttachesNothing) {
    ASSERT_EQ(::rmdir(pins_.links().c_str()), 0);
    auto guard = started(XdpMode::generic);
    pass(guard);
    EXPECT_EQ(reported(guard).state, HealthState::degraded);
    EXPECT_EQ(hook(), XdpHook());
}

}  // namespace
}  // namespace podlane::net
