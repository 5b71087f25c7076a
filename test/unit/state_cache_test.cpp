// SPDX-License-Identifier: Apache-2.0
#include "agent/source/state_cache.h"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/source/object_reader.h"
#include "test/support/kube_api_fixture.h"
#include "test/unit/running_server.h"

namespace podlane {
namespace {

using testing::HasSubstr;

class StateCacheTest : public testing::Test {
protected:
    static SavedState state() {
        SavedState state{
            .node_name = "n1", .server = "https://10.96.0.1:443", .saved_at = "2026-11-22T10:00:00Z", .objects = {}};
        const auto read =
            read_objects(test::kube_api_text("h-kubectl-get-nodes-pods.json"), {.name = "kubectl", .node_name = "n1"});
        for (auto node : read->nodes) {
            node.origin = "api";
            state.objects.nodes[node.name] = node;
        }
        for (auto pod : read->pods) {
            pod.origin = "api";
            state.objects.pods[pod.name_space + '/' + pod.name] = pod;
        }
        state.objects.nodes.begin()->second.deleting = true;
        return state;
    }
    Result<SavedState> load(const std::string& node = "n1", const std::string& server = "https://10.96.0.1:443") const {
        return load_state(path_, {.node_name = node, .server = server, .saved_at = "", .objects = {}}, "api");
    }
    std::string text() const {
        std::ifstream file(path_, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }

    TemporaryDirectory directory_;
    std::string path_ = (directory_.path() / "lib" / "podlane" / "state.json").string();
};

TEST_F(StateCacheTest, WhatIsSaved_ComesBack) {
    ASSERT_TRUE(save_state(path_, state()).has_value());
    const auto loaded = load();
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    EXPECT_GT(loaded->objects.nodes.size(), 2U);
    EXPECT_GT(loaded->objects.pods.size(), 2U);
    EXPECT_EQ(loaded->objects, state().objects);
    EXPECT_EQ(loaded->saved_at, "2026-11-22T10:00:00Z");
    struct stat status{};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(StateCacheTest, TextOfAnObject_SurvivesWhateverIsInIt) {
    auto odd = state();
    odd.objects.nodes.begin()->second.annotations["podlane.io/x"] = "quote \" backslash \\ newline \n \xf0\x9f\x90\xb3";
    ASSERT_TRUE(save_state(path_, odd).has_value());
    EXPECT_EQ(load()->objects, odd.objects);
}

TEST_F(StateCacheTest, EveryDamagedByte_IsNoticed) {
    auto small = state();
    small.objects.pods.clear();
    small.objects.nodes.erase(std::next(small.objects.nodes.begin()), small.objects.nodes.end());
    ASSERT_TRUE(save_state(path_, small).has_value());
    const auto good = text();
    for (std::size_t at = 0; at < good.size(); ++at) {
        auto bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        write(bad);
        ASSERT_FALSE(load().has_value()) << at;
        write(good.substr(0, at));
        ASSERT_FALSE(load().has_value()) << at;
    }
    write(good + "x");
    EXPECT_THAT(load().error().message, HasSubstr("checksum"));
}

TEST_F(StateCacheTest, StateOfAnotherNodeOrCluster_IsNotTaken) {
    ASSERT_TRUE(save_state(path_, state()).has_value());
    EXPECT_THAT(load("n2").error().message, HasSubstr("another node or cluster: # node n1 of"));
    EXPECT_THAT(load("n1", "https://10.96.0.1:6443").error().message, HasSubstr("another node or cluster"));
}

TEST_F(StateCacheTest, NoFile_SaysSo) {
    EXPECT_EQ(load().error().code, ENOENT);
}

TEST_F(StateCacheTest, FileSourceFormat_ReadsItAsWell) {
    ASSERT_TRUE(save_state(path_, state()).has_value());
    const auto read = read_objects(text(), {.name = "state", .node_name = "n1"});
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(read->nodes.size(), state().objects.nodes.size());
    EXPECT_EQ(read->pods.size(), state().objects.pods.size());
}

}  // namespace
}  // namespace podlane
