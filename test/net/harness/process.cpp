// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <iostream>
#include <sstream>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "test/net/harness/error.h"
#include "test/net/harness/namespace.h"

namespace podlane::net {
namespace {

constexpr int cannot_execute = 127;

Fd memory_file(const char* name) {
    Fd file(::memfd_create(name, MFD_CLOEXEC));
    if (!file.valid()) {
        raise_errno("create a memory file");
    }
    return file;
}

std::string content_of(const Fd& file) {
    std::string content;
    std::array<char, 65536> part{};
    for (;;) {
        const ssize_t got = ::pread(file.get(), part.data(), part.size(), static_cast<off_t>(content.size()));
        if (got <= 0) {
            return content;
        }
        content.append(part.data(), static_cast<std::size_t>(got));
    }
}

struct Streams {
    int in;
    int out;
    int err;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (auto& text : texts) {
        pointers.push_back(text.data());
    }
    pointers.push_back(nullptr);
    return pointers;
}

// Between fork and exec, with other threads in the parent: system calls only.
[[noreturn]] void become(const Namespace& ns, char* const* argv, char* const* environment, const Streams& streams) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::setns(ns.fd(), CLONE_NEWNET) == 0 && ::dup2(streams.in, STDIN_FILENO) >= 0 &&
        ::dup2(streams.out, STDOUT_FILENO) >= 0 && ::dup2(streams.err, STDERR_FILENO) >= 0) {
        ::execvpe(argv[0], argv, environment);
    }
    ::dprintf(streams.err, "cannot execute %s: errno %d\n", argv[0], errno);
    ::_exit(cannot_execute);
}

pid_t spawn(const Namespace& ns, const std::vector<std::string>& argv, const RunOptions& options,
            const Streams& streams) {
    std::vector<std::string> arguments = argv;
    std::vector<std::string> environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                            "HOME=/root", "LANG=C"};
    environment.insert(environment.end(), options.environment.begin(), options.environment.end());
    const auto argument_pointers = pointers_to(arguments);
    const auto environment_pointers = pointers_to(environment);
    const pid_t pid = ::fork();
    if (pid < 0) {
        raise_errno("fork for {}", argv.front());
    }
    if (pid == 0) {
        become(ns, argument_pointers.data(), environment_pointers.data(), streams);
    }
    return pid;
}

Fd open_pidfd(pid_t pid) {
    Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!fd.valid()) {
        raise_errno("open a pidfd of {}", pid);
    }
    return fd;
}

int reap(pid_t pid) {
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) {
        raise_errno("wait for {}", pid);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool ended_within(const Fd& pidfd, std::chrono::milliseconds timeout) {
    pollfd waiting{pidfd.get(), POLLIN, 0};
    return ::poll(&waiting, 1, static_cast<int>(timeout.count())) == 1;
}

Fd input_file(const std::string& input) {
    Fd file = memory_file("stdin");
    if (::pwrite(file.get(), input.data(), input.size(), 0) != static_cast<ssize_t>(input.size())) {
        raise_errno("write {} bytes for stdin", input.size());
    }
    return file;
}

}  // namespace

std::string Completed::describe() const {
    return fmt::format("`{}` ended with {}\nstdout: {}\nstderr: {}", command, status, out, err);
}

Completed run(const Namespace& ns, const std::vector<std::string>& argv, const RunOptions& options) {
    const Fd in = input_file(options.input);
    const Fd out = memory_file("stdout");
    const Fd err = memory_file("stderr");
    const pid_t pid = spawn(ns, argv, options, {in.get(), out.get(), err.get()});
    const Fd pidfd = open_pidfd(pid);
    const bool in_time = ended_within(pidfd, options.timeout);
    if (!in_time) {
        ::kill(-pid, SIGKILL);
        ::kill(pid, SIGKILL);
    }
    const int status = reap(pid);
    return {fmt::format("{}", fmt::join(argv, " ")), in_time ? status : -1, content_of(out), content_of(err)};
}

std::string must_run(const Namespace& ns, const std::vector<std::string>& argv, const RunOptions& options) {
    auto completed = run(ns, argv, options);
    if (!completed.ok()) {
        raise_error("in {}: {}", ns.name(), completed.describe());
    }
    return completed.out;
}

std::string ip(const Namespace& ns, std::string_view arguments) {
    std::vector<std::string> argv = {"ip"};
    std::istringstream words{std::string(arguments)};
    for (std::string word; words >> word;) {
        argv.push_back(word);
    }
    return must_run(ns, argv);
}

Process::Process(const Namespace& ns, const std::vector<std::string>& argv, const RunOptions& options)
    : command_(fmt::format("{}", fmt::join(argv, " "))), output_(memory_file("output")) {
    // The program's writes append, whichever of the two streams they come through.
    ::fcntl(output_.get(), F_SETFL, O_APPEND);
    const Fd in = input_file(options.input);
    pid_ = spawn(ns, argv, options, {in.get(), output_.get(), output_.get()});
    pidfd_ = open_pidfd(pid_);
}

Process::~Process() {
    if (running()) {
        ::kill(pid_, SIGKILL);
        reap(pid_);
    }
    if (::testing::Test::HasFailure()) {
        std::cerr << "---- " << command_ << " wrote:\n" << output() << "----\n";
    }
}

bool Process::running() {
    return !wait(std::chrono::milliseconds(0)).has_value();
}

void Process::signal(int number) const {
    if (status_.has_value()) {
        raise_error("`{}` has ended already", command_);
    }
    ::kill(pid_, number);
}

std::optional<int> Process::wait(std::chrono::milliseconds timeout) {
    if (!status_.has_value() && ended_within(pidfd_, timeout)) {
        status_ = reap(pid_);
    }
    return status_;
}

std::string Process::output() const {
    return content_of(output_);
}

}  // namespace podlane::net
