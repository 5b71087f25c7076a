// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/http_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "maps/base/fd.h"

namespace podlane::cni {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t max_response = std::size_t{16} << 20U;

Result<Fd> connect_to(const std::string& path, std::chrono::milliseconds timeout) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return fail_errno(ENAMETOOLONG, "connect to {}", path);
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) {
        return fail_errno(errno, "create a unix socket");
    }
    // Bounds connect() as well, which waits while the listener's backlog is full.
    const timeval limit{timeout.count() / 1000, (timeout.count() % 1000) * 1000};
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0) {
        return fail_errno(errno, "set a time-out");
    }
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(socket.get(), generic, sizeof(address)) < 0) {
        return fail_errno(errno, "connect to {}", path);
    }
    return socket;
}

Result<void> send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return fail_errno(errno == EAGAIN ? ETIMEDOUT : errno, "send the request");
        }
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
}

Result<HttpResponse> receive(int socket, Clock::time_point deadline) {
    HttpResponse response;
    std::string received;
    std::array<char, 16384> chunk;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waiting{socket, POLLIN, 0};
        if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0) {
            return fail_errno(ETIMEDOUT, "wait for the answer");
        }
        const ssize_t count = ::recv(socket, chunk.data(), chunk.size(), 0);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return fail_errno(errno, "receive the answer");
        }
        received.append(chunk.data(), static_cast<std::size_t>(count));
        const auto whole = parse_http_response(received, count == 0 ? StreamState::ended : StreamState::open, response);
        if (!whole) {
            return std::unexpected(whole.error());
        }
        if (*whole) {
            return response;
        }
        if (received.size() > max_response) {
            return fail("the answer is longer than {} bytes", max_response);
        }
    }
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

// The value of a header, without the space around it.
std::optional<std::string_view> header(std::string_view head, std::string_view name) {
    while (!head.empty()) {
        const auto line_end = std::min(head.find("\r\n"), head.size());
        const auto line = head.substr(0, line_end);
        head.remove_prefix(std::min(line_end + 2, head.size()));
        const auto colon = line.find(':');
        if (colon == std::string_view::npos || !equal_ignoring_case(line.substr(0, colon), name)) {
            continue;
        }
        auto value = line.substr(colon + 1);
        value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
        return value.substr(0, value.find_last_not_of(" \t") + 1);
    }
    return std::nullopt;
}

template <typename T>
std::optional<T> number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

}  // namespace

Result<bool> parse_http_response(std::string_view received, StreamState state, HttpResponse& response) {
    const auto head_end = received.find("\r\n\r\n");
    if (head_end == std::string_view::npos) {
        if (state == StreamState::ended) {
            return fail("the answer ends early");
        }
        return false;
    }
    constexpr std::string_view version = "HTTP/1.";
    constexpr std::size_t status_at = 9;  // after "HTTP/1.1 "
    const auto head = received.substr(0, head_end);
    const auto status = number<int>(head.substr(std::min(status_at, head.size()), 3));
    if (!head.starts_with(version) || !status) {
        return fail("the answer is not HTTP");
    }
    if (header(head, "Transfer-Encoding")) {
        return fail("the answer has a transfer encoding");
    }
    const auto body = received.substr(head_end + 4);
    std::size_t length = body.size();
    bool whole = state == StreamState::ended;
    if (const auto text = header(head, "Content-Length")) {
        const auto announced = number<std::size_t>(*text);
        if (!announced) {
            return fail("the answer's Content-Length is \"{}\"", *text);
        }
        length = *announced;
        whole = body.size() >= length;
    }
    if (!whole && state == StreamState::ended) {
        return fail("the answer ends early");
    }
    if (whole) {
        response.status = *status;
        response.body = body.substr(0, length);
    }
    return whole;
}

Result<HttpResponse> http_request(const std::string& socket_path, const HttpRequest& request,
                                  std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    const auto socket = connect_to(socket_path, timeout);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const std::string text = fmt::format(
        "{} {} HTTP/1.1\r\nHost: podlane\r\nConnection: close\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        request.method, request.target, request.body.size(), request.body);
    if (auto sent = send_all(socket->get(), text); !sent) {
        return std::unexpected(sent.error());
    }
    return receive(socket->get(), deadline);
}

}  // namespace podlane::cni
