// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <vector>

#include "maps/base/fd.h"

namespace podlane::cni {
namespace {

using Clock = std::chrono::steady_clock;

// The input as a file: a pipe could block us while the program blocks on its own output.
Result<Fd> input_file(std::string_view input) {
    Fd file(::memfd_create("cni-config", MFD_CLOEXEC));
    if (!file.valid()) {
        return fail_errno(errno, "create a memory file");
    }
    while (!input.empty()) {
        const ssize_t written = ::write(file.get(), input.data(), input.size());
        if (written < 0) {
            return fail_errno(errno, "write a memory file");
        }
        input.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::lseek(file.get(), 0, SEEK_SET) != 0) {
        return fail_errno(errno, "rewind a memory file");
    }
    return file;
}

Result<pid_t> spawn(const std::string& program, const Environment& environment, int input, int output) {
    std::vector<std::string> entries;
    entries.reserve(environment.size());
    for (const auto& [name, value] : environment) {
        entries.push_back(fmt::format("{}={}", name, value));
    }
    std::vector<char*> pointers;
    pointers.reserve(entries.size() + 1);
    for (auto& entry : entries) {
        pointers.push_back(entry.data());
    }
    pointers.push_back(nullptr);
    std::string argument = program;
    const std::array<char*, 2> arguments{argument.data(), nullptr};

    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    pid_t child = -1;
    const int error = ::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), pointers.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        return fail_errno(error, "run {}", program);
    }
    return child;
}

// Until end of file.
Result<std::string> read_output(const std::string& program, int pipe, Clock::time_point deadline) {
    constexpr std::size_t limit = std::size_t{1} << 20U;
    std::string output;
    std::array<char, 4096> chunk;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waiting{pipe, POLLIN, 0};
        if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0) {
            return fail_errno(ETIMEDOUT, "run {}", program);
        }
        const ssize_t count = ::read(pipe, chunk.data(), chunk.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return fail_errno(errno, "read the output of {}", program);
        }
        if (count == 0) {
            return output;
        }
        output.append(chunk.data(), static_cast<std::size_t>(count));
        if (output.size() > limit) {
            return fail("run {}: it prints more than a MiB", program);
        }
    }
}

int wait_for(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Result<ProcessOutput> run_process(const std::string& program, const Environment& environment, std::string_view input,
                                  std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    const auto file = input_file(input);
    if (!file) {
        return std::unexpected(file.error());
    }
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) < 0) {
        return fail_errno(errno, "create a pipe");
    }
    const Fd reader(pipe[0]);
    Fd writer(pipe[1]);
    const auto child = spawn(program, environment, file->get(), writer.get());
    writer.reset();
    if (!child) {
        return std::unexpected(child.error());
    }
    auto output = read_output(program, reader.get(), deadline);
    if (!output) {
        ::kill(*child, SIGKILL);
    }
    const int exit_status = wait_for(*child);
    if (!output) {
        return std::unexpected(output.error());
    }
    return ProcessOutput{exit_status, std::move(*output)};
}

}  // namespace podlane::cni
