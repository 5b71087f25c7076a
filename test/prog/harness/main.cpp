// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "test/prog/harness/sandbox.h"
#include "test/support/ktap.h"

namespace {

// Without the means to load BPF programs no test can run: each says why.
class NeedsSandbox : public testing::EmptyTestEventListener {
public:
    explicit NeedsSandbox(std::string problem) : problem_(std::move(problem)) {}

private:
    void OnTestStart(const testing::TestInfo& /*test*/) override { GTEST_SKIP() << problem_; }
    std::string problem_;
};

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (!testing::GTEST_FLAG(list_tests)) {
        podlane::test::report_as_ktap();
        if (auto entered = podlane::prog::enter_sandbox(); !entered) {
            testing::UnitTest::GetInstance()->listeners().Append(new NeedsSandbox(entered.error().message));
        }
    }
    return RUN_ALL_TESTS();
}
