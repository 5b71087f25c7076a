// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/processes.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "agent/files.h"

namespace podlane::migrate {
namespace {

// PROC_PID_INIT_INO of include/linux/proc_ns.h: the number of the first PID namespace, on every kernel.
constexpr ino_t first_pid_namespace = 0xeffffffc;

bool is_same_file(const std::string& one, const std::string& other) {
    struct stat first{};
    struct stat second{};
    return stat(one.c_str(), &first) == 0 && stat(other.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

}  // namespace

std::vector<int> find_processes(std::string_view command) {
    std::vector<int> pids;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const auto name = entry.path().filename().string();
        int pid = 0;
        const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (bad != std::errc{} || end != name.data() + name.size()) {
            continue;
        }
        const auto comm = read_small_file(entry.path() / "comm");
        if (comm && *comm == fmt::format("{}\n", command)) {
            pids.push_back(pid);
        }
    }
    std::ranges::sort(pids);
    return pids;
}

std::vector<int> find_processes_here(std::string_view command) {
    auto pids = find_processes(command);
    std::erase_if(pids,
                  [](int pid) { return !is_same_file(fmt::format("/proc/{}/ns/net", pid), "/proc/self/ns/net"); });
    return pids;
}

bool sees_all_processes() {
    struct stat own{};
    return stat("/proc/self/ns/pid", &own) == 0 && own.st_ino == first_pid_namespace;
}

}  // namespace podlane::migrate
