// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/fd.h"

namespace podlane::net {

class Namespace;

// How a program ended.
struct Completed {
    std::string command;
    int status = -1;  // exit status; 128 + signal when a signal ended it; -1 when its time was over
    std::string out;
    std::string err;

    [[nodiscard]] bool ok() const { return status == 0; }
    // Command, status and both outputs, for a failure message.
    [[nodiscard]] std::string describe() const;
};

struct RunOptions {
    std::string input;                     // on stdin
    std::vector<std::string> environment;  // "NAME=value", beside PATH, HOME and LANG=C; nothing is inherited
    std::chrono::milliseconds timeout = std::chrono::seconds(30);
};

// Runs a program inside `ns` and waits for it. Unlike `ip netns exec` it leaves /sys as it is. When its time is over
// it is killed together with the children that stayed in its process group.
[[nodiscard]] Completed run(const Namespace& ns, const std::vector<std::string>& argv, const RunOptions& options = {});
// The same for set-up: whatever goes wrong ends the test. Returns stdout.
std::string must_run(const Namespace& ns, const std::vector<std::string>& argv, const RunOptions& options = {});
// `ip <arguments>`, split at spaces.
std::string ip(const Namespace& ns, std::string_view arguments);

// A program in the background of `ns`. Killed at the latest with its owner; what it wrote is shown then, should the
// test have failed. Start it from a thread that outlives it: the kernel ends it with its parent thread.
class Process {
public:
    Process(const Namespace& ns, const std::vector<std::string>& argv, const RunOptions& options = {});
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process();

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool running();
    void signal(int number) const;
    // The status as in Completed, once it has ended; nothing when it still runs after `timeout`.
    [[nodiscard]] std::optional<int> wait(std::chrono::milliseconds timeout);
    // stdout and stderr so far.
    [[nodiscard]] std::string output() const;

private:
    std::string command_;
    Fd output_;
    pid_t pid_ = -1;
    Fd pidfd_;
    std::optional<int> status_;
};

}  // namespace podlane::net
