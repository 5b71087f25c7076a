// SPDX-License-Identifier: Apache-2.0
#include "agent/source/state_keeper.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/running_server.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Times as the product has them, a twentieth of them long.
constexpr SavePace quick = {.delay = milliseconds(10), .interval = milliseconds(250)};

class StateKeeperTest : public testing::Test {
protected:
    [[nodiscard]] std::unique_ptr<StateKeeper> keeper(const std::string& path) {
        return std::make_unique<StateKeeper>(
            *loop_, path,
            [this] {
                given_at_.push_back(steady_clock::now());
                return state_;
            },
            quick);
    }
    [[nodiscard]] Result<SavedState> saved() const { return load_state(path_, state_, "test"); }
    void run_for(milliseconds time) {
        const auto end = loop_->after(time, [this] { loop_->stop(); });
        ASSERT_TRUE(loop_->run().has_value());
    }
    // At most two seconds.
    [[nodiscard]] bool runs_until(const std::function<bool()>& holds) {
        bool held = false;
        const auto poll = loop_->every(milliseconds(5), [&] {
            if ((held = holds())) {
                loop_->stop();
            }
        });
        run_for(milliseconds(2000));
        return held;
    }

    TemporaryDirectory directory_;
    std::filesystem::path parent_ = directory_.path() / "podlane";
    std::string path_ = (parent_ / "state.json").string();
    std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
    SavedState state_ = {
        .node_name = "n1", .server = "https://10.96.0.1:443", .saved_at = now_as_text(), .objects = {}};
    std::vector<steady_clock::time_point> given_at_;  // when a write was tried
};

TEST_F(StateKeeperTest, FailedWrite_IsTriedAgainAtItsPaceUntilItSucceeds) {
    std::ofstream(parent_) << "a file where the folder belongs";
    const auto keeper = this->keeper(path_);
    keeper->changed();
    ASSERT_TRUE(runs_until([&] { return given_at_.size() >= 2; })) << "nothing changed, but it was not written";
    EXPECT_GE(given_at_[1] - given_at_[0], quick.interval);
    EXPECT_FALSE(saved().has_value());
    std::filesystem::remove(parent_);
    ASSERT_TRUE(runs_until([&] { return saved().has_value(); }));
    EXPECT_EQ(saved()->saved_at, state_.saved_at);
    const auto tried = given_at_.size();
    run_for(3 * quick.interval / 2);
    EXPECT_EQ(given_at_.size(), tried) << "what is on disk is not written again";
}

TEST_F(StateKeeperTest, FailedWrite_IsTriedOnceMoreAtTheEnd) {
    std::ofstream(parent_) << "a file where the folder belongs";
    auto keeper = this->keeper(path_);
    keeper->changed();
    ASSERT_TRUE(runs_until([&] { return given_at_.size() == 1; }));
    std::filesystem::remove(parent_);
    keeper.reset();
    EXPECT_TRUE(saved().has_value());
}

TEST_F(StateKeeperTest, ManyChanges_AreWrittenAtTheirPaceAndTheLastOneStands) {
    const auto keeper = this->keeper(path_);
    const auto change = loop_->every(milliseconds(5), [&] {
        state_.saved_at = std::to_string(given_at_.size());
        keeper->changed();
    });
    ASSERT_TRUE(runs_until([&] { return given_at_.size() == 3; }));
    EXPECT_GE(given_at_[1] - given_at_[0], quick.interval);
    EXPECT_GE(given_at_[2] - given_at_[1], quick.interval);
    EXPECT_EQ(saved()->saved_at, "2");
}

TEST_F(StateKeeperTest, NoPath_WritesNothing) {
    auto keeper = this->keeper("");
    keeper->changed();
    run_for(3 * quick.delay);
    keeper.reset();
    EXPECT_TRUE(given_at_.empty());
    EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

}  // namespace
}  // namespace podlane
