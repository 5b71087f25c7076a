// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/net/harness/sandbox.h"
#include "test/support/ktap.h"

namespace {

// Without the means for network namespaces no test can run: each says why.
class NeedsSandbox : public testing::EmptyTestEventListener {
public:
    explicit NeedsSandbox(std::string problem) : problem_(std::move(problem)) {}

private:
    void OnTestStart(const testing::TestInfo& /*test*/) override { GTEST_SKIP() << problem_; }
    std::string problem_;
};

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleMock(&argc, argv);
    if (!testing::GTEST_FLAG(list_tests)) {
        podlane::test::report_as_ktap();
        if (auto entered = podlane::net::enter_sandbox(); !entered) {
            testing::UnitTest::GetInstance()->listeners().Append(new NeedsSandbox(entered.error().message));
        }
    }
    return RUN_ALL_TESTS();
}
