// SPDX-License-Identifier: Apache-2.0
#include "agent/observe/process_use.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

namespace podlane {
namespace {

double seconds_of(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// A restart in place keeps the process; what counts from zero begins with the program.
const double program_start = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

std::uint64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t all_pages = 0;
    std::uint64_t resident_pages = 0;
    file >> all_pages >> resident_pages;
    return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

ProcessUse process_use() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return {.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
            .resident_bytes = resident_bytes(),
            .started = program_start};
}

}  // namespace podlane
