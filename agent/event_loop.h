// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

// The agent's one event loop: epoll over file descriptors and timers, single-threaded. Callbacks must not block.
class EventLoop {
public:
    using Callback = std::function<void()>;
    using FdCallback = std::function<void(std::uint32_t epoll_events)>;

    // Keeps one descriptor watched, or one timer armed, for as long as it lives. Must not outlive the loop.
    class Watch {
    public:
        Watch() = default;
        Watch(Watch&& other) noexcept;
        Watch& operator=(Watch&& other) noexcept;
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;
        ~Watch() { cancel(); }

        void cancel();
        [[nodiscard]] bool active() const { return loop_ != nullptr; }

    private:
        friend class EventLoop;
        Watch(EventLoop* loop, int fd) : loop_(loop), fd_(fd) {}
        EventLoop* loop_ = nullptr;
        int fd_ = -1;
    };

    [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    ~EventLoop() = default;

    // Level-triggered. `events` are EPOLLIN, EPOLLOUT, ...; the caller keeps ownership of `fd`.
    [[nodiscard]] Result<Watch> watch(int fd, std::uint32_t events, FdCallback callback);
    // Calls back once, after `delay`.
    [[nodiscard]] Result<Watch> after(std::chrono::milliseconds delay, Callback callback);
    // Calls back every `period`, for the first time after one period.
    [[nodiscard]] Result<Watch> every(std::chrono::milliseconds period, Callback callback);

    // Runs until stop(). An error is one of epoll itself.
    [[nodiscard]] Result<void> run();
    void stop() { running_ = false; }

private:
    struct Entry {
        FdCallback callback;
        Fd timer;  // valid for timers only
    };
    explicit EventLoop(Fd epoll) : epoll_(std::move(epoll)) {}
    [[nodiscard]] Result<Watch> timer(std::chrono::milliseconds delay, std::chrono::milliseconds period,
                                      Callback callback);
    void remove(int fd);

    Fd epoll_;
    bool running_ = false;
    std::unordered_map<int, std::shared_ptr<Entry>> entries_;
};

}  // namespace podlane
