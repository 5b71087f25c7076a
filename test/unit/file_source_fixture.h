// SPDX-License-Identifier: Apache-2.0
// Real files, real inotify: each test has a directory of its own.
#pragma once

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "agent/source/file_source.h"

namespace podlane::test {

// One Node as YAML; its podCIDR tells versions of it apart.
[[nodiscard]] inline std::string node(const std::string& name, int third_octet) {
    return fmt::format(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {0}}}\nspec: {{podCIDR: 10.244.{1}.0/24}}\n"
        "status: {{addresses: [{{type: InternalIP, address: 192.168.0.{1}}}]}}\n",
        name, third_octet);
}

class FileSourceTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "podlane-file-source-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        root_ = std::filesystem::canonical(pattern);
        loop_ = EventLoop::create().value();
    }
    void TearDown() override {
        source_.reset();
        std::filesystem::remove_all(root_);
    }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream(root_ / name, std::ios::trunc | std::ios::binary) << text;
    }
    // As editors and config tools do: a temporary file, renamed over the old one.
    void replace(const std::string& name, const std::string& text) const {
        const auto temporary = root_ / (std::filesystem::path(name).parent_path() / ".new");
        std::ofstream(temporary, std::ios::binary) << text;
        std::filesystem::rename(temporary, root_ / name);
    }

    void start(const std::string& path) {
        source_ = FileSource::create(*loop_, {.path = (root_ / path).string(), .node_name = "n1"}).value();
        source_->on_change([this] { ++changes_; });
        ASSERT_TRUE(source_->start().has_value());
    }

    // Runs the loop until the condition holds; how long that took, or a failure after five seconds.
    std::chrono::milliseconds wait_until(const std::function<bool()>& condition) {
        constexpr auto longest = std::chrono::seconds(5);
        const auto began = std::chrono::steady_clock::now();
        bool held = false;
        auto poll = loop_->every(std::chrono::milliseconds(2), [&] {
            held = condition();
            if (held || std::chrono::steady_clock::now() - began > longest) {
                loop_->stop();
            }
        });
        EXPECT_TRUE(loop_->run().has_value());
        EXPECT_TRUE(held) << "problem: " << source_->health().problem;
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    }
    void run_for(std::chrono::milliseconds time) {
        auto timer = loop_->after(time, [this] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
    }
    std::chrono::milliseconds wait_for_cidr(const std::string& name, int third_octet) {
        return wait_until([=, this] { return cidr_of(name) == fmt::format("10.244.{}.0/24", third_octet); });
    }
    std::chrono::milliseconds wait_for_problem(const std::string& part) {
        return wait_until([=, this] { return problem().find(part) != std::string::npos; });
    }
    void wait_for_health() {
        wait_until([this] { return problem().empty() && source_->health().in_sync; });
    }

    std::string cidr_of(const std::string& name) const {
        const auto found = source_->objects().nodes.find(name);
        return found == source_->objects().nodes.end() ? "none" : found->second.pod_cidrs.front();
    }
    std::vector<std::string> names() const {
        std::vector<std::string> result;
        for (const auto& [name, object] : source_->objects().nodes) {
            result.push_back(name);
        }
        return result;
    }
    const std::string& problem() const { return source_->health().problem; }
    bool in_sync() const { return source_->health().in_sync; }

    std::filesystem::path root_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<FileSource> source_;
    int changes_ = 0;
};

}  // namespace podlane::test
