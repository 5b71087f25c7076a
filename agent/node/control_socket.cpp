// SPDX-License-Identifier: Apache-2.0
#include "agent/node/control_socket.h"

#include <chrono>
#include <system_error>

#include "agent/log.h"
#include "agent/node/api.h"

namespace podlane {
namespace {

// How often the file is looked for.
constexpr auto audit_period = std::chrono::seconds(3);

}  // namespace

Result<std::unique_ptr<ControlSocket>> ControlSocket::serve(EventLoop& loop, NodeAgent& agent,
                                                            std::filesystem::path path, Fd listener) {
    std::unique_ptr<ControlSocket> socket(new ControlSocket(loop, agent, std::move(path)));
    if (auto answers = socket->answer_on(std::move(listener)); !answers) {
        return std::unexpected(answers.error());
    }
    auto audit = loop.every(audit_period, [self = socket.get()] { self->audit(); });
    if (!audit) {
        return std::unexpected(audit.error());
    }
    socket->audit_ = std::move(*audit);
    return socket;
}

Result<void> ControlSocket::answer_on(Fd listener) {
    auto server = HttpServer::create(loop_, std::move(listener));
    if (!server) {
        return std::unexpected(server.error());
    }
    server_ = std::move(*server);
    serve_api(*server_, agent_);
    return {};
}

void ControlSocket::audit() {
    std::error_code error;
    if (std::filesystem::exists(path_, error)) {
        return;
    }
    if (const auto restored = restore(); !restored) {
        log::error("the control socket stays away: {}", restored.error().message);
    }
}

Result<void> ControlSocket::restore() {
    std::error_code error;
    std::filesystem::create_directories(path_.parent_path(), error);
    if (error) {
        return fail_errno(error.value(), "create directory {}", path_.parent_path().string());
    }
    auto listener = listen_unix(path_);
    if (!listener) {
        return std::unexpected(listener.error());
    }
    if (auto answers = answer_on(std::move(*listener)); !answers) {
        return answers;
    }
    return agent_.restore_records(fmt::format("listen on {}", path_.string()));
}

}  // namespace podlane
