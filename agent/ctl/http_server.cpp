// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/http_server.h"

#include <microhttpd.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/ctl/http_routes.h"
#include "agent/log.h"

namespace podlane {
namespace {

// A body over the limit is read to its end and thrown away, because a client that is cut off while it sends seldom
// looks at the answer. This many times the limit is where patience ends.
constexpr std::size_t drained_limits = 64;
// Rounds of one wake-up in which the library may say "again, at once", before other callbacks have their turn.
constexpr int rounds_per_wakeup = 16;

struct CloseDaemon {
    void operator()(MHD_Daemon* daemon) const { MHD_stop_daemon(daemon); }
};
struct FreeResponse {
    void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};

// One request while it comes in; belongs to the library between its calls (con_cls).
struct Exchange {
    HttpRequest request;
    std::size_t received = 0;
};

MHD_Result send(MHD_Connection* connection, const HttpResponse& answer) {
    // MHD copies the body; the parameter is not const for C's sake only.
    // NOLINTBEGIN(cppcoreguidelines-pro-type-const-cast)
    const std::unique_ptr<MHD_Response, FreeResponse> response(MHD_create_response_from_buffer(
        answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY));
    // NOLINTEND(cppcoreguidelines-pro-type-const-cast)
    if (!response) {
        return MHD_NO;
    }
    MHD_add_response_header(response.get(), "Content-Type", answer.content_type.c_str());
    for (const auto& [name, value] : answer.headers) {
        MHD_add_response_header(response.get(), name.c_str(), value.c_str());
    }
    return MHD_queue_response(connection, answer.status, response.get());
}

std::size_t declared_length(MHD_Connection* connection) {
    const char* text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 0;
}

HttpResponse too_large(std::size_t limit) {
    return HttpResponse::error(413, fmt::format("the body is larger than {} bytes", limit));
}

void log_line(void*, const char* format, va_list arguments) {
    std::array<char, 256> line{};
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    if (length > 0) {
        std::string_view text(line.data());
        text.remove_suffix(text.ends_with('\n') ? 1 : 0);
        log::debug("HTTP server: {}", text);
    }
}

// Names of arguments, for MHD_get_connection_values.
MHD_Result take_name(void* names, MHD_ValueKind /*kind*/, const char* name, const char* /*value*/) {
    static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    return MHD_YES;
}

// The URL as it came: the route table takes it apart before it decodes it.
std::size_t keep_encoded(void*, MHD_Connection*, char* text) {
    return std::string_view(text).size();
}

class MicrohttpdServer final : public HttpServer {
public:
    MicrohttpdServer(EventLoop& loop, const HttpLimits& limits) : loop_(loop), limits_(limits) {}

    Result<void> start(Fd listener) {
        if (const auto started = start_daemon(std::move(listener)); !started) {
            return started;
        }
        const auto* info = MHD_get_daemon_info(daemon_.get(), MHD_DAEMON_INFO_EPOLL_FD);
        if (info == nullptr) {
            return fail("start the HTTP server: libmicrohttpd has no epoll descriptor");
        }
        auto watch = loop_.watch(info->epoll_fd, EPOLLIN, [this](std::uint32_t) { serve(); });
        if (!watch) {
            return std::unexpected(watch.error());
        }
        watch_ = std::move(*watch);
        return {};
    }

    void handle(std::string_view method, std::string_view pattern, Handler handler) override {
        routes_.add(method, pattern, std::move(handler));
    }

private:
    Result<void> start_daemon(Fd listener) {
        const std::array<MHD_OptionItem, 8> options{{
            {MHD_OPTION_EXTERNAL_LOGGER, reinterpret_cast<intptr_t>(&log_line), nullptr},
            {MHD_OPTION_LISTEN_SOCKET, listener.get(), nullptr},
            {MHD_OPTION_CONNECTION_LIMIT, static_cast<intptr_t>(limits_.connections), nullptr},
            {MHD_OPTION_CONNECTION_TIMEOUT, static_cast<intptr_t>(limits_.idle_timeout.count()), nullptr},
            {MHD_OPTION_NOTIFY_COMPLETED, reinterpret_cast<intptr_t>(&completed), nullptr},
            {MHD_OPTION_UNESCAPE_CALLBACK, reinterpret_cast<intptr_t>(&keep_encoded), nullptr},
            {MHD_OPTION_STRICT_FOR_CLIENT, 1, nullptr},
            {MHD_OPTION_END, 0, nullptr},
        }};
        daemon_.reset(MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, nullptr, nullptr, &access, this,
                                       MHD_OPTION_ARRAY, options.data(), MHD_OPTION_END));
        if (!daemon_) {
            return fail_errno(errno != 0 ? errno : EINVAL, "start the HTTP server");
        }
        // From here on the listening socket is the daemon's: MHD_stop_daemon closes it.
        [[maybe_unused]] const int given_away = listener.release();
        return {};
    }

    // Lets the library work on everything that is ready, then arms the timer that it asks for.
    void serve() {
        MHD_UNSIGNED_LONG_LONG wait = 0;
        bool wants_timer = false;
        for (int round = 0; round < rounds_per_wakeup; ++round) {
            const unsigned connections_before = connections();
            if (MHD_run(daemon_.get()) != MHD_YES) {
                log::warning("HTTP server: libmicrohttpd could not go on");
                return;
            }
            wants_timer = MHD_get_timeout(daemon_.get(), &wait) == MHD_YES;
            // At the connection limit the listening socket is set aside, and looked at again only by the run after
            // the one in which a connection went.
            const bool made_room = connections() < connections_before;
            if (!made_room && (!wants_timer || wait > 0)) {
                break;
            }
        }
        timer_.cancel();
        if (!wants_timer) {
            return;
        }
        auto timer = loop_.after(std::chrono::milliseconds(wait), [this] { serve(); });
        if (!timer) {
            log::warning("HTTP server: {}", timer.error().message);
            return;
        }
        timer_ = std::move(*timer);
    }

    [[nodiscard]] unsigned connections() const {
        const auto* info = MHD_get_daemon_info(daemon_.get(), MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        return info != nullptr ? info->num_connections : 0;
    }

    // lint-allow(parameters): MHD_AccessHandlerCallback
    static MHD_Result access(void* self, MHD_Connection* connection, const char* url, const char* method,
                             const char* /*version*/, const char* data, std::size_t* size, void** state) {
        return static_cast<MicrohttpdServer*>(self)->on_request(connection, url, method, {data, size}, state);
    }

    // A piece of the body; `size` is set to what is left of it.
    struct Upload {
        const char* data;
        std::size_t* size;
    };

    // Called once with the headers (no state yet), then for each piece of the body, then once with nothing.
    MHD_Result on_request(MHD_Connection* connection, const char* url, const char* method, Upload upload,
                          void** state) {
        if (*state == nullptr) {
            auto* begun = new Exchange{.request = {.method = method, .path = url}};
            *state = begun;
            MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &take_name, &begun->request.query);
            const bool hopeless = declared_length(connection) > drained_limits * limits_.body_bytes;
            return hopeless ? send(connection, too_large(limits_.body_bytes)) : MHD_YES;
        }
        auto& exchange = *static_cast<Exchange*>(*state);
        if (*upload.size != 0) {
            return take(exchange, upload);
        }
        const bool fits = exchange.received <= limits_.body_bytes;
        return send(connection, fits ? routes_.answer(exchange.request) : too_large(limits_.body_bytes));
    }

    MHD_Result take(Exchange& exchange, Upload upload) const {
        exchange.received += *upload.size;
        if (exchange.received <= limits_.body_bytes) {
            exchange.request.body.append(upload.data, *upload.size);
        }
        *upload.size = 0;
        return exchange.received <= drained_limits * limits_.body_bytes ? MHD_YES : MHD_NO;
    }

    static void completed(void*, MHD_Connection*, void** state, MHD_RequestTerminationCode) {
        delete static_cast<Exchange*>(*state);
        *state = nullptr;
    }

    EventLoop& loop_;
    HttpLimits limits_;
    HttpRoutes routes_;
    // In this order: the watches go before the descriptor that they watch.
    std::unique_ptr<MHD_Daemon, CloseDaemon> daemon_;
    EventLoop::Watch watch_;
    EventLoop::Watch timer_;
};

}  // namespace

HttpResponse HttpResponse::error(unsigned status, std::string_view message) {
    // An operator's line may carry any byte, say of a file name: what is no UTF-8 must not break the answer.
    return {
        .status = status,
        .body = nlohmann::json({{"error", message}}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

Result<std::unique_ptr<HttpServer>> HttpServer::create(EventLoop& loop, Fd listener, const HttpLimits& limits) {
    auto server = std::make_unique<MicrohttpdServer>(loop, limits);
    if (const auto started = server->start(std::move(listener)); !started) {
        return std::unexpected(started.error());
    }
    return server;
}

}  // namespace podlane
