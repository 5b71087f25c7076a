// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/event_loop.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

struct SocketAddress {
    sockaddr_un name;
    socklen_t length = 0;
};

// Tells the service manager that started this process how it fares, by sd_notify(3)'s protocol: datagrams to the socket
// that $NOTIFY_SOCKET names, a path or "@abstract". Without that variable nothing is told to anybody. The variables
// stay in the environment: an agent that is executed anew in place goes on with them.
class ServiceManager {
public:
    // Why the service is not up yet; nothing: it is.
    using NotReady = std::function<std::optional<std::string>()>;

    // From then on the loop proves by WATCHDOG=1 that it runs, thrice in each $WATCHDOG_USEC; `not_ready` is asked
    // until it is READY=1, and up to there the manager is asked for more time, since state may be long in coming. An
    // error: a variable that cannot be followed. `loop` must outlive this, and what `not_ready` asks the loop's run.
    [[nodiscard]] static Result<std::unique_ptr<ServiceManager>> create(
        EventLoop& loop, const std::map<std::string, std::string>& environment, NotReady not_ready);

    // Right before the process is executed anew; the new one tells READY=1.
    void reloading();
    // It was not executed anew after all.
    void stays();
    void stopping();

private:
    explicit ServiceManager(NotReady not_ready) : not_ready_(std::move(not_ready)) {}
    [[nodiscard]] Result<void> start(EventLoop& loop, std::optional<std::chrono::microseconds> watchdog);
    void ask();
    void prove_alive();
    // False: the manager did not take it. A full queue may have room the next time.
    bool tell(std::string_view message);

    Fd socket_;  // not valid: there is no manager to talk to
    SocketAddress address_{};
    NotReady not_ready_;
    bool watched_ = false;
    bool ready_ = false;
    std::string problem_;  // with the last message; told of once
    std::string status_;
    EventLoop::Watch question_;
    EventLoop::Watch proof_;
};

}  // namespace podlane
