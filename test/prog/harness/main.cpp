// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <algorithm>

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

// Each node of a test holds some hundred descriptors of programs and maps, and the nodes of several suites live side by
// side: more than the 1024 that a process may have by default.
void make_room_for_descriptors() {
    constexpr rlim_t enough = 16384;
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough) {
        return;
    }
    const rlimit wished{.rlim_cur = enough, .rlim_max = std::max(limit.rlim_max, enough)};
    if (setrlimit(RLIMIT_NOFILE, &wished) != 0) {
        limit.rlim_cur = limit.rlim_max;  // all that may be had without CAP_SYS_RESOURCE
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    make_room_for_descriptors();
    if (!testing::GTEST_FLAG(list_tests)) {
        podlane::test::report_as_ktap();
        if (auto entered = podlane::prog::enter_sandbox(); !entered) {
            testing::UnitTest::GetInstance()->listeners().Append(new NeedsSandbox(entered.error().message));
        }
    }
    return RUN_ALL_TESTS();
}
