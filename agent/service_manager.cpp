// SPDX-License-Identifier: Apache-2.0
#include "agent/service_manager.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <ctime>
#include <utility>

#include "agent/log.h"

namespace podlane {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr auto question_period = milliseconds(250);
// Of proofs, with or without a watchdog, and how much more time each asks for while the agent is not ready.
constexpr auto longest_period = milliseconds(10000);
constexpr auto extension = microseconds(30'000'000);

std::string_view variable(const std::map<std::string, std::string>& environment, const std::string& name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string_view() : std::string_view(found->second);
}

Result<SocketAddress> address_of(std::string_view name) {
    SocketAddress result{.name = {.sun_family = AF_UNIX, .sun_path = {}}};
    const bool abstract = name.front() == '@';
    if (!abstract && name.front() != '/') {
        return fail("NOTIFY_SOCKET={}: neither a path nor an abstract name", name);
    }
    // A path ends with a zero, an abstract name begins with one and ends with the address.
    const std::size_t size = name.size() + (abstract ? 0 : 1);
    if (size > sizeof(result.name.sun_path)) {
        return fail("NOTIFY_SOCKET={}: longer than a socket's name can be", name);
    }
    std::ranges::copy(name, result.name.sun_path);
    if (abstract) {
        result.name.sun_path[0] = 0;
    }
    result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
    return result;
}

template <typename Number>
std::optional<Number> parse(std::string_view text) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

// Nothing: there is none, or it is another process's.
Result<std::optional<microseconds>> watchdog_of(const std::map<std::string, std::string>& environment) {
    const auto time = variable(environment, "WATCHDOG_USEC");
    const auto process = variable(environment, "WATCHDOG_PID");
    if (time.empty()) {
        return std::nullopt;
    }
    const auto number = parse<std::uint64_t>(time);
    if (!number || *number == 0) {
        return fail("WATCHDOG_USEC={}: not a time in microseconds", time);
    }
    if (!process.empty() && parse<pid_t>(process) != ::getpid()) {
        return std::nullopt;
    }
    return microseconds(*number);
}

std::uint64_t monotonic_microseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

Result<std::unique_ptr<ServiceManager>> ServiceManager::create(EventLoop& loop,
                                                               const std::map<std::string, std::string>& environment,
                                                               NotReady not_ready) {
    std::unique_ptr<ServiceManager> manager(new ServiceManager(std::move(not_ready)));
    const auto name = variable(environment, "NOTIFY_SOCKET");
    if (name.empty()) {
        return manager;
    }
    const auto address = address_of(name);
    if (!address) {
        return std::unexpected(address.error());
    }
    manager->address_ = *address;
    const auto watchdog = watchdog_of(environment);
    if (!watchdog) {
        return std::unexpected(watchdog.error());
    }
    if (auto started = manager->start(loop, *watchdog); !started) {
        return std::unexpected(started.error());
    }
    return manager;
}

Result<void> ServiceManager::start(EventLoop& loop, std::optional<microseconds> watchdog) {
    socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_.valid()) {
        return fail_errno(errno, "make a socket for the service manager");
    }
    watched_ = watchdog.has_value();
    const auto third = std::chrono::duration_cast<milliseconds>(watchdog.value_or(3 * longest_period)) / 3;
    auto proof = loop.every(std::clamp(third, milliseconds(1), longest_period), [this] { prove_alive(); });
    if (!proof) {
        return std::unexpected(proof.error());
    }
    proof_ = std::move(*proof);
    auto question = loop.every(question_period, [this] { ask(); });
    if (!question) {
        return std::unexpected(question.error());
    }
    question_ = std::move(*question);
    prove_alive();
    return {};
}

void ServiceManager::ask() {
    auto problem = not_ready_();
    if (!problem) {
        ready_ = tell("READY=1\nSTATUS=forwarding");
        if (ready_) {
            question_.cancel();
        }
        return;
    }
    std::ranges::replace(*problem, '\n', ' ');
    if (*problem != status_ && tell("STATUS=" + *problem)) {
        status_ = std::move(*problem);
    }
}

void ServiceManager::prove_alive() {
    std::string message = watched_ ? "WATCHDOG=1\n" : "";
    if (!ready_) {
        message += fmt::format("EXTEND_TIMEOUT_USEC={}\n", extension.count());
    }
    if (!message.empty()) {
        tell(message);
    }
}

void ServiceManager::reloading() {
    tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds()));
}

void ServiceManager::stays() {
    if (ready_) {
        tell("READY=1");
    }
}

void ServiceManager::stopping() {
    tell("STOPPING=1");
}

bool ServiceManager::tell(std::string_view message) {
    if (!socket_.valid()) {
        return true;
    }
    // By name each time: the manager may be a new one by now.
    const auto sent = ::sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&address_.name), address_.length);
    const auto problem = sent < 0 ? std::generic_category().message(errno) : std::string();
    if (!problem.empty() && problem != problem_) {
        log::warning("tell the service manager {}: {}", message.substr(0, message.find('\n')), problem);
    }
    problem_ = problem;
    return sent >= 0;
}

}  // namespace podlane
