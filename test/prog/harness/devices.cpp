// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/devices.h"

#include <fcntl.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "test/prog/harness/sandbox.h"

namespace podlane::prog {
// With its messages on our stderr.
Result<void> run_ip(const std::string& commands) {
    const std::string file = scratch_dir() / "ip-batch";
    std::ofstream(file) << commands;
    std::string program = "ip";
    std::string option = "-batch";
    std::string operand = file;
    const std::array<char*, 4> arguments{program.data(), option.data(), operand.data(), nullptr};
    pid_t child = -1;
    if (const int error = posix_spawnp(&child, "ip", nullptr, nullptr, arguments.data(), environ); error != 0) {
        return fail_errno(error, "run ip");
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return fail_errno(errno, "wait for ip");
        }
    }
    return status == 0 ? Result<void>{} : fail("ip ended with status {} over\n{}", status, commands);
}

Result<void> create_devices(const std::vector<Device>& devices) {
    std::string commands;
    for (const auto& [name, mac] : devices) {
        commands += fmt::format("link add {0} address {1} type veth peer name {0}-pod\n", name, mac);
    }
    return run_ip(commands);
}

Result<void> bring_up(const std::string& name) {
    return run_ip(
        fmt::format("link set {0} addrgenmode none\nlink set {0}-pod addrgenmode none\n"
                    "link set {0} up\nlink set {0}-pod up\n",
                    name));
}

std::uint32_t ifindex_of(const std::string& name) {
    return if_nametoindex(name.c_str());
}

}  // namespace podlane::prog
