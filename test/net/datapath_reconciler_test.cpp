// SPDX-License-Identifier: Apache-2.0
// Hooks at devices that come and go. The kernel is that of link_kernel.h.
//
//   eth0 [from_uplink, to_underlay] ---- wire
#include <gmock/gmock.h>

#include "agent/reconcile/datapath_reconciler.h"
#include "test/net/harness/temp_dir.h"
#include "test/net/link_kernel.h"

namespace podlane::net {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DatapathReconcilerTest : public LinkKernelTest, public testing::WithParamInterface<AttachMethod> {
protected:
    DatapathReconcilerTest() : files_("datapath"), pins_(files_.path() / "bpf" / "podlane") {
        EXPECT_TRUE(succeeded(pins_.create()));
    }

    TempDir files_;
    PinDirectory pins_;
};

INSTANTIATE_TEST_SUITE_P(Methods, DatapathReconcilerTest, testing::Values(AttachMethod::tcx, AttachMethod::clsact),
                         [](const auto& test) { return test.param == AttachMethod::tcx ? "Tcx" : "Clsact"; });

// A container's link is on its way into the container between the list of devices and the hooks.
TEST_P(DatapathReconcilerTest, DeviceThatWentMeanwhile_IsNoError) {
    constexpr std::uint32_t gone = 999'999;
    KernelFeatures features;
    features.attach = GetParam();
    DatapathReconciler datapath(pins_, features);
    ASSERT_TRUE(succeeded(datapath.load({})));
    const auto report = datapath.reconcile({{Hook::from_uplink, gone, "veth1"},
                                            {Hook::to_underlay, gone, "veth1"},
                                            {Hook::from_uplink, ifindex("eth0"), "eth0"}},
                                           Sweep::remove);
    EXPECT_THAT(report.errors, IsEmpty());
    EXPECT_THAT(report.changes, ElementsAre("attach eth0 from-uplink"));
}

}  // namespace
}  // namespace podlane::net
