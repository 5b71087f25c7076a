// SPDX-License-Identifier: Apache-2.0
#include "loader/attach.h"
#include "loader/datapath.h"
#include "test/prog/map_support.h"

// The programs for devices without an Ethernet header, which are loaded when a device first needs them.
namespace podlane::prog {
namespace {

datapath_config plain_config() {
    datapath_config config{};
    config.encapsulation = ENCAPSULATION_TUNNEL_DEVICE;
    return config;
}

class LoadL3Test : public BpffsTest {
protected:
    [[nodiscard]] PinDirectory pins() const { return PinDirectory(bpffs()); }
    // What the programs want is not what is pinned, until mend().
    void damage() const {
        const auto path = pins().map(spec::nat_by_flow::name);
        std::filesystem::rename(path, path.string() + "_good");
        pin(create_map<spec::path_counters>().get(), path);
    }
    void mend() const {
        const auto path = pins().map(spec::nat_by_flow::name);
        std::filesystem::remove(path);
        std::filesystem::rename(path.string() + "_good", path);
    }
};

TEST_F(LoadL3Test, Failure_IsToldAgainWithoutAnotherTrialUntilAllIsLoadedAnew) {
    ASSERT_TRUE(pins().create().has_value());
    auto datapath = Datapath::load(pins(), plain_config());
    ASSERT_TRUE(datapath.has_value()) << datapath.error().message;
    damage();
    const auto failed = datapath->load_l3(pins(), plain_config());
    ASSERT_FALSE(failed.has_value());
    mend();
    const auto again = datapath->load_l3(pins(), plain_config());
    ASSERT_FALSE(again.has_value()) << "the verifier's time was taken again";
    EXPECT_EQ(again.error().message, failed.error().message);
    EXPECT_LT(datapath->program_fd(Hook::from_l3_uplink), 0);
    EXPECT_LT(datapath->program_fd(Hook::to_l3_uplink), 0);

    datapath = Datapath::load(pins(), plain_config());
    ASSERT_TRUE(datapath.has_value()) << datapath.error().message;
    const auto loaded = datapath->load_l3(pins(), plain_config());
    EXPECT_TRUE(loaded.has_value()) << loaded.error().message;
    EXPECT_GE(datapath->program_fd(Hook::from_l3_uplink), 0);
    EXPECT_GE(datapath->program_fd(Hook::to_l3_uplink), 0);
}

TEST_F(LoadL3Test, ProgramThatIsNotLoaded_IsNamedWhereItWasToBeAttached) {
    constexpr std::uint32_t loopback = 1;
    for (const auto method : {AttachMethod::tcx, AttachMethod::clsact}) {
        const auto attached = Attacher(pins(), method).attach(Hook::to_l3_uplink, loopback, -1);
        ASSERT_FALSE(attached.has_value());
        EXPECT_NE(attached.error().message.find("to-l3-uplink is not loaded"), std::string::npos)
            << attached.error().message;
    }
}

}  // namespace
}  // namespace podlane::prog
