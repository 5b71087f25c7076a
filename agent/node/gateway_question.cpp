// SPDX-License-Identifier: Apache-2.0
#include "agent/node/gateway_question.h"

#include <sys/epoll.h>

#include <utility>

#include "agent/log.h"

namespace podlane {
namespace {

constexpr auto interval = std::chrono::milliseconds(250);

}  // namespace

Result<std::unique_ptr<GatewayQuestion>> GatewayQuestion::ask(EventLoop& loop, const Asked& asked,
                                                              std::chrono::milliseconds patience, Done done) {
    auto socket = cni::ArpSocket::open(static_cast<int>(asked.ifindex), asked.mac);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    std::unique_ptr<GatewayQuestion> question(new GatewayQuestion(std::move(*socket), asked.question, std::move(done)));
    if (auto started = question->start(loop, patience); !started) {
        return std::unexpected(started.error());
    }
    return question;
}

Result<void> GatewayQuestion::start(EventLoop& loop, std::chrono::milliseconds patience) {
    auto readable = loop.watch(socket_.fd(), EPOLLIN, [this](std::uint32_t) { read(); });
    auto again = loop.every(interval, [this] { [[maybe_unused]] const auto sent = socket_.ask(question_); });
    auto deadline = loop.after(patience, [this] { finish(false); });
    for (const auto* watch : {&readable, &again, &deadline}) {
        if (!*watch) {
            return std::unexpected(watch->error());
        }
    }
    readable_ = std::move(*readable);
    again_ = std::move(*again);
    deadline_ = std::move(*deadline);
    return socket_.ask(question_);
}

void GatewayQuestion::read() {
    const auto answered = socket_.has_answer(question_);
    if (!answered) {
        log::warning("{}", answered.error().message);  // a device that went down; the deadline decides
    } else if (*answered) {
        finish(true);
    }
}

void GatewayQuestion::finish(bool answered) {
    readable_.cancel();
    again_.cancel();
    deadline_.cancel();
    const auto done = std::exchange(done_, {});
    done(answered);  // `this` may be gone now
}

}  // namespace podlane
