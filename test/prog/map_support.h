// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/bpf.h>
#include <sys/mount.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "maps/typed_map.h"
#include "test/prog/harness/sandbox.h"

// Real maps of the kernel, as the loader would make them, and a bpffs to pin them in.
namespace podlane::prog {

[[nodiscard]] inline Fd create_map(const MapShape& shape, std::uint32_t flags) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
    const std::string name(shape.name.substr(0, BPF_OBJ_NAME_LEN - 1));
    Fd fd(bpf_map_create(shape.type, name.c_str(), shape.key_size, shape.value_size, shape.capacity, &options));
    EXPECT_TRUE(fd.valid()) << shape.name << ": " << std::generic_category().message(errno);
    return fd;
}

template <typename Spec>
[[nodiscard]] Fd create_map() {
    return create_map(shape_of<Spec>(), Spec::flags);
}

// A map with nothing in it. The test ends when the kernel refuses it.
template <typename Spec>
[[nodiscard]] Map<Spec> new_map() {
    auto map = Map<Spec>::adopt(create_map<Spec>());
    EXPECT_TRUE(map.has_value()) << map.error().message;
    return std::move(map).value();
}

// A bpffs of its own for each test, gone with it.
class BpffsTest : public testing::Test {
protected:
    void SetUp() override {
        const auto* test = testing::UnitTest::GetInstance()->current_test_info();
        path_ = scratch_dir() /
                fmt::format("{}.{}", std::filesystem::path(test->test_suite_name()).filename().native(), test->name());
        std::filesystem::create_directories(path_);
        ASSERT_EQ(mount("bpf", path_.c_str(), "bpf", 0, nullptr), 0) << std::generic_category().message(errno);
    }
    void TearDown() override { umount2(path_.c_str(), MNT_DETACH); }

    [[nodiscard]] const std::filesystem::path& bpffs() const { return path_; }
    void pin(int fd, const std::filesystem::path& path) const {
        std::filesystem::create_directories(path.parent_path());
        ASSERT_EQ(bpf_obj_pin(fd, path.c_str()), 0) << path << ": " << std::generic_category().message(errno);
    }

private:
    std::filesystem::path path_;
};

}  // namespace podlane::prog
