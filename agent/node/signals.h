// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "agent/event_loop.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

// Delivers signals as events of the loop, for as long as it lives.
class SignalWatch {
public:
    using Handlers = std::map<int, std::function<void()>>;
    [[nodiscard]] static Result<std::unique_ptr<SignalWatch>> create(EventLoop& loop, Handlers handlers);

private:
    SignalWatch(Fd fd, Handlers handlers) : fd_(std::move(fd)), handlers_(std::move(handlers)) {}
    void deliver();

    Fd fd_;
    Handlers handlers_;
    EventLoop::Watch watch_;
};

}  // namespace podlane
