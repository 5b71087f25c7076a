// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "agent/ctl/http_server.h"

namespace podlane {

class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string name = std::filesystem::temp_directory_path() / "podlane-ctl-XXXXXX";
        if (mkdtemp(name.data()) == nullptr) {
            throw std::system_error(errno, std::generic_category(), name);
        }
        path_ = name;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// A real control server at <run_dir>/agent.sock, in an event loop of its own thread, for as long as it lives.
class RunningServer {
public:
    using AddHandlers = std::function<void(HttpServer&)>;

    RunningServer(const std::filesystem::path& run_dir, const AddHandlers& add_handlers, const HttpLimits& limits = {})
        : stop_(eventfd(0, EFD_CLOEXEC)) {
        auto listener = listen_unix(run_dir / "agent.sock");
        if (!listener) {
            throw std::runtime_error(listener.error().message);
        }
        thread_ = std::thread([this, add_handlers, limits, fd = std::make_shared<Fd>(std::move(*listener))] {
            const auto loop = EventLoop::create();
            ASSERT_TRUE(loop.has_value()) << loop.error().message;
            const auto server = HttpServer::create(**loop, std::move(*fd), limits);
            ASSERT_TRUE(server.has_value()) << server.error().message;
            add_handlers(**server);
            const auto stop_watch = (*loop)->watch(stop_.get(), EPOLLIN, [&](std::uint32_t) { (*loop)->stop(); });
            ASSERT_TRUE(stop_watch.has_value()) << stop_watch.error().message;
            EXPECT_TRUE((*loop)->run().has_value());
        });
    }
    RunningServer(const RunningServer&) = delete;
    RunningServer& operator=(const RunningServer&) = delete;
    ~RunningServer() {
        eventfd_write(stop_.get(), 1);
        thread_.join();
    }

private:
    Fd stop_;
    std::thread thread_;
};

}  // namespace podlane
