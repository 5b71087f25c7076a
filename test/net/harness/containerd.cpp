// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/containerd.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include "test/net/harness/error.h"
#include "test/net/harness/sandbox.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

constexpr const char* programs[] = {"containerd", "containerd-shim-runc-v2", "ctr", "runc"};
constexpr const char* applets[] = {"sh", "nc", "netstat", "ping", "sleep"};
constexpr const char* busybox = "/bin/busybox";
constexpr const char* reference_plugins = "/usr/lib/cni";
constexpr auto patience = 20s;

// Where deps.sh unpacks them.
std::filesystem::path unpacked_programs() {
    const char* cache = std::getenv("PODLANE_CACHE");
    return std::filesystem::path(cache == nullptr ? "/var/cache/podlane" : cache) / "containerd" / "bin";
}

// Arguments: the cgroup, the test's folder. The shell becomes `unshare`, whose end is the PID namespace's end. It
// leaves the cgroup's root, in which no process may be once controllers are handed on. In the PID namespace the first
// process lets the kernel reap what is orphaned. The machine's /etc stays as it is below ours.
constexpr const char* enter_namespaces = R"(set -e
mkdir "$1/runtime"
echo 0 >"$1/cgroup.procs"
exec unshare --cgroup sh -c 'echo 0 >"$1/runtime/cgroup.procs"
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc sh -ec "$3" sh "$2"' sh "$1" "$2" '
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/etc.work" overlay /etc
mount -t tmpfs tmpfs /opt
mkdir -p /etc/cni/net.d /opt/cni/bin /run/containerd
mount --bind "$1/net.d" /etc/cni/net.d
mount --bind "$1/plugins" /opt/cni/bin
mount -t tmpfs tmpfs /var/lib/cni
mount -t tmpfs tmpfs /run/containerd
touch "$1/ready"
trap "" CHLD
exec sleep infinity')";

// Arguments: folder of the programs, the test's folder.
constexpr const char* become_containerd = R"(set -e
echo 0 >/sys/fs/cgroup/runtime/cgroup.procs
echo $$ >"$2/pid"
export PATH="$1:$PATH"
exec containerd --config "$2/config.toml")";

std::string unique_cgroup(std::string_view label) {
    static std::atomic<unsigned> next{0};
    return fmt::format("podlane-{}-{}-{}", label, ::getpid(), next++);
}

void remove_cgroup(const std::filesystem::path& path) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
        if (entry.is_directory()) {
            remove_cgroup(entry.path());
        }
    }
    ::rmdir(path.c_str());
}

std::string content_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

Ipv4Address address_inside(const Namespace& ns) {
    const auto shown = nlohmann::json::parse(ip(ns, "-j -4 address show dev eth0"));
    const auto text = shown.at(0).at("addr_info").at(0).at("local").get<std::string>();
    const auto address = Ipv4Address::parse(text);
    if (!address) {
        raise_error("address {}: {}", text, address.error().message);
    }
    return *address;
}

}  // namespace

Cgroup::Cgroup(std::string_view label) : mount_point_("cgroup") {
    if (::mount("cgroup2", mount_point_.path().c_str(), "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
        raise_errno("mount a cgroup file system");
    }
    path_ = mount_point_.path() / unique_cgroup(label);
    if (::mkdir(path_.c_str(), 0755) != 0) {
        raise_errno("make a cgroup");
    }
}

Cgroup::~Cgroup() {
    std::ofstream(path_ / "cgroup.kill") << '1';
    const bool gone = wait_until(
        [this] {
            remove_cgroup(path_);
            return !std::filesystem::exists(path_);
        },
        patience);
    if (!gone) {
        std::cerr << "the cgroup " << path_ << " stays: something in it does not end\n";
    }
}

std::string Cgroup::why_not() {
    try {
        const Cgroup attempt("attempt");
        std::ofstream processes(attempt.path() / "cgroup.procs");
        return processes ? "" : "processes cannot be moved into a cgroup here";
    } catch (const HarnessError& error) {
        return fmt::format("no cgroups for containers here: {}", error.what());
    }
}

RuntimeContainer::RuntimeContainer(Containerd& containerd, std::string id, std::unique_ptr<Process> ctr)
    : id_(std::move(id)),
      ctr_(std::move(ctr)),
      ns_(Namespace::of_another(id_, containerd.netns_path(id_))),
      address_(address_inside(ns_)) {}

std::string RuntimeContainer::wait_for_end() {
    if (!ctr_->wait(patience).has_value()) {
        raise_error("ctr does not see the end of container {}: {}", id_, ctr_->output());
    }
    return ctr_->output();
}

std::string Containerd::why_not() {
    for (const char* program : programs) {
        if (!std::filesystem::exists(unpacked_programs() / program)) {
            return fmt::format("{} is not in {}: scripts/deps.sh puts it there", program, unpacked_programs().string());
        }
    }
    if (!std::filesystem::exists(busybox)) {
        return "busybox is missing, of which containers are made";
    }
    static const std::string cgroups = Cgroup::why_not();
    return cgroups;
}

nlohmann::json Containerd::plugin_of(const Node& node) {
    return {{"type", "podlane"}, {"runDir", node.run_dir().string()}};
}

Containerd::Containerd(Node& node) : node_(node), files_("containerd-" + node.name()), cgroup_(node.name()) {
    make_files();
    set_network("podlane", nlohmann::json::array({plugin_of(node)}));
    start_namespaces();
    start();
}

void Containerd::make_files() const {
    for (const char* name : {"etc", "etc.work", "net.d", "plugins", "rootfs/bin", "rootfs/proc", "rootfs/sys",
                             "rootfs/dev", "rootfs/etc", "rootfs/run", "rootfs/tmp"}) {
        std::filesystem::create_directories(folder(name));
    }
    std::filesystem::copy_file(busybox, folder("rootfs/bin/busybox"));
    for (const char* applet : applets) {
        std::filesystem::create_symlink("busybox", folder("rootfs/bin") / applet);
    }
    for (const auto& plugin : std::filesystem::directory_iterator(reference_plugins)) {
        std::filesystem::create_symlink(plugin.path(), folder("plugins") / plugin.path().filename());
    }
    std::filesystem::create_symlink(program_dir() / "podlane", folder("plugins/podlane"));
    // Images and the kubelet's interface are none of this test's business, snapshotters neither.
    write_file_atomically(
        folder("config.toml"),
        fmt::format("version = 2\n"
                    "root = \"{0}/root\"\n"
                    "state = \"{0}/state\"\n"
                    "disabled_plugins = [\"io.containerd.grpc.v1.cri\", "
                    "\"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", "
                    "\"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.zfs\"]\n"
                    "[debug]\n"
                    "level = \"warn\"\n"
                    "[grpc]\n"
                    "address = \"{0}/socket\"\n",
                    files_.path().string()));
}

void Containerd::set_network(std::string_view name, const nlohmann::json& plugins) {
    const nlohmann::json list = {{"cniVersion", "1.0.0"}, {"name", name}, {"plugins", plugins}};
    write_file_atomically(folder("net.d/10-podlane.conflist"), list.dump());
}

void Containerd::start_namespaces() {
    namespaces_ = std::make_unique<Process>(
        node_.ns(),
        std::vector<std::string>{"sh", "-c", enter_namespaces, "sh", cgroup_.path().string(), files_.path().string()});
    const bool ready = wait_until(
        [this] { return std::filesystem::exists(folder("ready")) || !namespaces_->running(); }, patience, 5ms);
    if (!ready || !namespaces_->running()) {
        raise_error("the namespaces for containerd of {}: {}", node_.name(), namespaces_->output());
    }
}

std::vector<std::string> Containerd::inside(std::vector<std::string> argv) const {
    const auto of_namespaces = fmt::format("/proc/{}/ns", namespaces_->pid());
    const std::vector<std::string> enter = {"nsenter", fmt::format("--mount={}/mnt", of_namespaces),
                                            fmt::format("--cgroup={}/cgroup", of_namespaces),
                                            fmt::format("--pid={}/pid_for_children", of_namespaces), "--"};
    argv.insert(argv.begin(), enter.begin(), enter.end());
    return argv;
}

void Containerd::start() {
    daemon_ = std::make_unique<Process>(node_.ns(), inside({"sh", "-c", become_containerd, "sh",
                                                            unpacked_programs().string(), files_.path().string()}));
    Completed last;
    const bool answers = wait_until(
        [&] {
            last = ctr({"version"});
            return last.ok() || !daemon_->running();
        },
        patience, 20ms);
    if (!answers || !daemon_->running()) {
        raise_error("containerd of {} does not answer: {}\n{}", node_.name(), last.describe(), daemon_->output());
    }
}

void Containerd::kill() {
    must_run(node_.ns(), inside({"kill", "-KILL", content_of(folder("pid"))}));
    if (!daemon_->wait(patience).has_value()) {
        raise_error("containerd of {} survived SIGKILL", node_.name());
    }
}

std::vector<std::string> Containerd::ctr_command(std::vector<std::string> arguments) const {
    const std::vector<std::string> command = {(unpacked_programs() / "ctr").string(), "--address",
                                              folder("socket").string(), "--namespace", "podlane"};
    arguments.insert(arguments.begin(), command.begin(), command.end());
    return inside(std::move(arguments));
}

Completed Containerd::ctr(std::vector<std::string> arguments) {
    return net::run(node_.ns(), ctr_command(std::move(arguments)));
}

// A CPU share is set only where that controller is on: none is asked for.
std::vector<std::string> Containerd::run_arguments(const std::vector<std::string>& switches, const std::string& id,
                                                   const std::vector<std::string>& command) const {
    std::vector<std::string> arguments = {"run", "--rootfs", "--cni", "--cpu-shares", "0", "--cgroup", "/" + id};
    arguments.insert(arguments.end(), switches.begin(), switches.end());
    arguments.insert(arguments.end(), {folder("rootfs").string(), id});
    arguments.insert(arguments.end(), command.begin(), command.end());
    return arguments;
}

RuntimeContainer Containerd::run(const std::string& id, const std::vector<std::string>& command) {
    auto process = std::make_unique<Process>(node_.ns(), ctr_command(run_arguments({"--rm"}, id, command)));
    const bool runs = wait_until([&] { return status_of(id) == "RUNNING" || !process->running(); }, patience, 10ms);
    if (!runs || !process->running()) {
        raise_error("container {}: {}", id, process->output());
    }
    return {*this, id, std::move(process)};
}

RuntimeContainer Containerd::run_detached(const std::string& id, const std::vector<std::string>& command) {
    const auto started = ctr(run_arguments({"--detach", "--null-io"}, id, command));
    if (!started.ok()) {
        raise_error("container {}: {}", id, started.describe());
    }
    return {*this, id, nullptr};
}

Completed Containerd::run_to_end(const std::string& id, const std::vector<std::string>& command) {
    return ctr(run_arguments({"--rm"}, id, command));
}

Completed Containerd::exec(const RuntimeContainer& container, const std::vector<std::string>& command) {
    std::vector<std::string> arguments = {"task", "exec", "--exec-id", fmt::format("exec-{}", executed_++),
                                          container.id()};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return ctr(std::move(arguments));
}

std::vector<std::string> Containerd::task(const std::string& id) {
    const auto listed = ctr({"task", "ls"});
    std::istringstream lines(listed.out);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::vector<std::string> row(std::istream_iterator<std::string>(words), {});
        if (row.size() == 3 && row[0] == id) {
            return row;
        }
    }
    return {};
}

std::string Containerd::status_of(const std::string& id) {
    const auto row = task(id);
    return row.empty() ? "" : row[2];
}

std::filesystem::path Containerd::netns_path(const std::string& id) {
    const auto row = task(id);
    if (row.empty()) {
        raise_error("containerd of {} has no task {}", node_.name(), id);
    }
    // The file system of processes as it is mounted in that mount namespace, numbers included.
    return fmt::format("/proc/{}/root/proc/{}/ns/net", namespaces_->pid(), row[1]);
}

void Containerd::kill_process_of(const RuntimeContainer& container) {
    const auto row = task(container.id());
    if (row.empty()) {
        raise_error("containerd of {} has no task {}", node_.name(), container.id());
    }
    must_run(node_.ns(), inside({"kill", "-KILL", row[1]}));
}

std::string Containerd::end(RuntimeContainer& container) {
    const auto killed = ctr({"task", "kill", "--signal", "SIGKILL", container.id()});
    if (!killed.ok()) {
        raise_error("{}", killed.describe());
    }
    return container.wait_for_end();
}

}  // namespace podlane::net
