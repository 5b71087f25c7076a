// SPDX-License-Identifier: Apache-2.0
#include "agent/node/signals.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

namespace podlane {

Result<std::unique_ptr<SignalWatch>> SignalWatch::create(EventLoop& loop, Handlers handlers) {
    sigset_t set;
    sigemptyset(&set);
    for (const auto& [signal, handler] : handlers) {
        sigaddset(&set, signal);
    }
    // A client that goes away in the middle of an answer is no reason to end.
    std::signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
        return fail_errno(errno, "block signals");
    }
    Fd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.valid()) {
        return fail_errno(errno, "create a signal descriptor");
    }
    std::unique_ptr<SignalWatch> signals(new SignalWatch(std::move(fd), std::move(handlers)));
    auto watch = loop.watch(signals->fd_.get(), EPOLLIN, [raw = signals.get()](std::uint32_t) { raw->deliver(); });
    if (!watch) {
        return std::unexpected(watch.error());
    }
    signals->watch_ = std::move(*watch);
    return signals;
}

void SignalWatch::deliver() {
    signalfd_siginfo info{};
    while (read(fd_.get(), &info, sizeof(info)) == sizeof(info)) {
        const auto handler = handlers_.find(static_cast<int>(info.ssi_signo));
        if (handler != handlers_.end()) {
            handler->second();
        }
    }
}

}  // namespace podlane
