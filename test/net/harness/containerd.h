// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "maps/base/address.h"
#include "test/net/harness/node.h"
#include "test/net/harness/process.h"
#include "test/net/harness/temp_dir.h"
#include "test/net/harness/traffic.h"

namespace podlane::net {

// A cgroup (version 2) of its own, with all that its processes make below. Its end kills them.
class Cgroup {
public:
    explicit Cgroup(std::string_view label);
    Cgroup(const Cgroup&) = delete;
    Cgroup& operator=(const Cgroup&) = delete;
    ~Cgroup();

    // As this process sees it.
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    // Why none can be made here; empty when one can.
    [[nodiscard]] static std::string why_not();

private:
    TempDir mount_point_;
    std::filesystem::path path_;
};

class Containerd;

// A container that containerd runs and that ctr has attached.
class RuntimeContainer {
public:
    // The task runs. `ctr`: the `ctr run` that waits for its end and then runs DEL; none for a detached one.
    RuntimeContainer(Containerd& containerd, std::string id, std::unique_ptr<Process> ctr);

    [[nodiscard]] const std::string& id() const { return id_; }
    [[nodiscard]] const Namespace& ns() const { return ns_; }
    [[nodiscard]] Ipv4Address address() const { return address_; }
    [[nodiscard]] Endpoint endpoint() const { return {&ns_, address_}; }
    // What ctr complained of, nothing as a rule; raises when the end does not come.
    [[nodiscard]] std::string wait_for_end();

private:
    std::string id_;
    std::unique_ptr<Process> ctr_;
    Namespace ns_;
    Ipv4Address address_;
};

// Debian's containerd, ctr and runc on one node, as deps.sh unpacks them: in the node's network namespace, and in a
// mount, PID and cgroup namespace of its own. ctr reads /etc/cni/net.d and executes what lies in /opt/cni/bin: there
// they are folders of the test, as are /var/lib/cni and /run/containerd. All of it ends with this object, containers
// included.
class Containerd {
public:
    // The daemon runs and answers.
    explicit Containerd(Node& node);

    // Why it cannot run here; empty when it can.
    [[nodiscard]] static std::string why_not();
    // {"type": "podlane"} for that node, for an array of plugins.
    [[nodiscard]] static nlohmann::json plugin_of(const Node& node);
    // Replaces the only file in /etc/cni/net.d. At first it holds plugin_of(node) alone.
    void set_network(std::string_view name, const nlohmann::json& plugins);

    void start();
    // SIGKILL to the daemon alone; shims and containers run on.
    void kill();

    [[nodiscard]] Completed ctr(std::vector<std::string> arguments);
    // `ctr run --cni --rm` in the background: at the container's end it runs DEL. The command's program is an absolute
    // path in busybox's root file system. Raises when it fails.
    [[nodiscard]] RuntimeContainer run(const std::string& id, const std::vector<std::string>& command);
    // `ctr run --cni --detach`, which ends at once: nobody runs DEL later, ctr 1.6 does not know how.
    [[nodiscard]] RuntimeContainer run_detached(const std::string& id, const std::vector<std::string>& command);
    // `ctr run --cni --rm` in the foreground: what the container writes is in the result.
    [[nodiscard]] Completed run_to_end(const std::string& id, const std::vector<std::string>& command);
    // A further process in a container, waited for.
    [[nodiscard]] Completed exec(const RuntimeContainer& container, const std::vector<std::string>& command);
    // Status as `ctr task ls` has it: RUNNING, STOPPED; empty when it knows no such task.
    [[nodiscard]] std::string status_of(const std::string& id);
    // SIGKILL to the container's first process, not by containerd.
    void kill_process_of(const RuntimeContainer& container);
    // SIGKILL by containerd, and RuntimeContainer::wait_for_end.
    [[nodiscard]] std::string end(RuntimeContainer& container);

    // Of the container's first process.
    [[nodiscard]] std::filesystem::path netns_path(const std::string& id);

private:
    void make_files() const;
    void start_namespaces();
    [[nodiscard]] std::vector<std::string> inside(std::vector<std::string> argv) const;
    [[nodiscard]] std::vector<std::string> ctr_command(std::vector<std::string> arguments) const;
    [[nodiscard]] std::vector<std::string> run_arguments(const std::vector<std::string>& switches,
                                                         const std::string& id,
                                                         const std::vector<std::string>& command) const;
    // A row of `ctr task ls`: ID, PID in containerd's PID namespace, status. Empty when there is none.
    [[nodiscard]] std::vector<std::string> task(const std::string& id);
    [[nodiscard]] std::filesystem::path folder(std::string_view name) const { return files_.path() / name; }

    Node& node_;
    TempDir files_;
    Cgroup cgroup_;
    std::unique_ptr<Process> namespaces_;
    std::unique_ptr<Process> daemon_;
    unsigned executed_ = 0;
};

}  // namespace podlane::net
