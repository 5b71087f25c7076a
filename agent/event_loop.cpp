// SPDX-License-Identifier: Apache-2.0
#include "agent/event_loop.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <array>
#include <utility>

namespace podlane {
namespace {

timespec to_timespec(std::chrono::milliseconds duration) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
    const std::chrono::nanoseconds rest = duration - seconds;
    return {.tv_sec = seconds.count(), .tv_nsec = rest.count()};
}

}  // namespace

EventLoop::Watch::Watch(Watch&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), fd_(std::exchange(other.fd_, -1)) {}

EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept {
    if (this != &other) {
        cancel();
        loop_ = std::exchange(other.loop_, nullptr);
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

void EventLoop::Watch::cancel() {
    if (loop_ != nullptr) {
        std::exchange(loop_, nullptr)->remove(std::exchange(fd_, -1));
    }
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
    Fd epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll.valid()) {
        return fail_errno(errno, "create the event loop");
    }
    return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll)));
}

Result<EventLoop::Watch> EventLoop::watch(int fd, std::uint32_t events, FdCallback callback) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        return fail_errno(errno, "watch file descriptor {}", fd);
    }
    entries_[fd] = std::make_shared<Entry>(Entry{std::move(callback), Fd()});
    return Watch(this, fd);
}

Result<EventLoop::Watch> EventLoop::after(std::chrono::milliseconds delay, Callback callback) {
    return timer(delay, std::chrono::milliseconds(0), std::move(callback));
}

Result<EventLoop::Watch> EventLoop::every(std::chrono::milliseconds period, Callback callback) {
    return timer(period, period, std::move(callback));
}

Result<EventLoop::Watch> EventLoop::timer(std::chrono::milliseconds delay, std::chrono::milliseconds period,
                                          Callback callback) {
    Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!fd.valid()) {
        return fail_errno(errno, "create a timer");
    }
    // A delay of zero would disarm the timer.
    const auto first = std::max(delay, std::chrono::milliseconds(1));
    const itimerspec spec{.it_interval = to_timespec(period), .it_value = to_timespec(first)};
    if (timerfd_settime(fd.get(), 0, &spec, nullptr) != 0) {
        return fail_errno(errno, "arm a timer");
    }
    const int number = fd.get();
    auto result = watch(number, EPOLLIN, [number, callback = std::move(callback)](std::uint32_t) {
        std::uint64_t expirations = 0;
        if (read(number, &expirations, sizeof(expirations)) == sizeof(expirations)) {
            callback();
        }
    });
    if (result) {
        entries_[number]->timer = std::move(fd);
    }
    return result;
}

void EventLoop::remove(int fd) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    entries_.erase(fd);
}

Result<void> EventLoop::run() {
    running_ = true;
    std::array<epoll_event, 64> events{};
    while (running_) {
        const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
        if (count < 0 && errno != EINTR) {
            return fail_errno(errno, "wait for events");
        }
        for (int i = 0; i < count && running_; ++i) {
            // A callback may cancel any watch, its own included: the entry is held for the length of the call.
            const auto found = entries_.find(events[i].data.fd);
            if (found != entries_.end()) {
                const std::shared_ptr<Entry> entry = found->second;
                entry->callback(events[i].events);
            }
        }
    }
    return {};
}

}  // namespace podlane
