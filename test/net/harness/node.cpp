// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/node.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <sstream>

#include <gtest/gtest.h>

#include "test/net/harness/error.h"
#include "test/net/harness/sandbox.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

// The kernel takes its time to release what a process held while other tests take whole namespaces down.
constexpr auto end_patience = 20s;

constexpr const char* reference_plugins = "/usr/lib/cni";

std::string program(const char* name) {
    return (program_dir() / name).string();
}

// Of a variable of the environment, with blanks between them.
std::vector<std::string> words_of(const char* variable) {
    const char* text = std::getenv(variable);
    std::istringstream words(text == nullptr ? "" : text);
    return {std::istream_iterator<std::string>(words), {}};
}

Ipv4Address address_in(const nlohmann::json& add_result) {
    const auto text = add_result.at("ips").at(0).at("address").get<std::string>();
    const auto address = Ipv4Address::parse(text.substr(0, text.find('/')));
    if (!address) {
        raise_error("ADD reported the address {}: {}", text, address.error().message);
    }
    return *address;
}

}  // namespace

Pod::Pod(Node& node, std::string name, unsigned mtu)
    : node_(node),
      name_(std::move(name)),
      mtu_(mtu),
      container_id_(fmt::format("{}-{}", node.name(), name_)),
      ns_(container_id_) {
    const auto added = cni("ADD");
    if (!added.ok()) {
        raise_error("ADD of pod {}: {}", name_, added.describe());
    }
    add_result_ = nlohmann::json::parse(added.out);
    address_ = address_in(add_result_);
}

Pod::~Pod() {
    const auto deleted = cni("DEL");
    EXPECT_TRUE(deleted.ok()) << deleted.describe();
}

Completed Pod::cni(std::string_view command) {
    RunOptions options;
    options.input = node_.cni_config(mtu_);
    options.environment = {
        fmt::format("CNI_COMMAND={}", command),
        fmt::format("CNI_CONTAINERID={}", container_id_),
        fmt::format("CNI_NETNS={}", ns_.path().string()),
        "CNI_IFNAME=eth0",
        fmt::format("CNI_PATH={}:{}", program_dir().string(), reference_plugins),
        fmt::format("CNI_ARGS=K8S_POD_NAMESPACE=default;K8S_POD_NAME={};K8S_POD_UID=uid-{}", name_, container_id_)};
    return run(node_.ns(), {program("podlane")}, options);
}

std::string Pod::host_device() const {
    for (const auto& interface : add_result_.at("interfaces")) {
        if (interface.value("sandbox", "").empty()) {
            return interface.at("name");
        }
    }
    raise_error("ADD of pod {} reported no host side: {}", name_, add_result_.dump());
}

Node::Node(Underlay& underlay, NodeOptions options)
    : options_(std::move(options)), files_(options_.name), ns_(options_.name) {
    underlay.join(ns_, options_.name, options_.internal_ip);
    for (const auto& folder : {run_dir(), bpffs().parent_path(), state_file().parent_path()}) {
        std::filesystem::create_directories(folder);
    }
    write_file_atomically(config_file(), agent_config());
}

Node::~Node() {
    pods_.clear();
    if (agent_ && agent_->running()) {
        agent_->signal(SIGTERM);
        EXPECT_TRUE(agent_->wait(end_patience).has_value()) << "the agent of " << name() << " ignores SIGTERM";
    }
}

std::string Node::agent_config() const {
    const auto state =
        options_.state.empty() ? fmt::format("source: file, file: {}", state_file().string()) : options_.state;
    return fmt::format(
               "nodeName: {}\n"
               "runDir: {}\n"
               "bpffs: {}\n"
               "state: {{{}}}\n"
               "clusterCIDRs: [10.244.0.0/16]\n"
               "underlay: {{device: {}, xdp: {}}}\n"
               "overlay: {{mode: {}, flannel: {}}}\n",
               name(), run_dir().string(), bpffs().string(), state, Underlay::node_device, options_.xdp, options_.mode,
               options_.flannel) +
           options_.extra_config;
}

void Node::write_state(std::string_view content) {
    write_file_atomically(state_file(), content);
}

void Node::start_agent() {
    auto command = options_.agent.empty() ? words_of("PODLANE_TEST_AGENT") : options_.agent;
    if (command.empty()) {
        command.push_back(program("podlane-agent"));
    }
    const auto arguments = agent_arguments();
    command.insert(command.end(), arguments.begin(), arguments.end());
    agent_ = std::make_unique<Process>(ns_, command);
}

std::vector<std::string> Node::agent_arguments() const {
    std::vector<std::string> arguments = {"--config", config_file().string()};
    for (const auto& name : words_of("PODLANE_TEST_WITHOUT")) {
        arguments.insert(arguments.end(), {"--without-feature", name});
    }
    for (const auto& name : options_.without) {
        arguments.insert(arguments.end(), {"--without-feature", name});
    }
    return arguments;
}

void Node::wait_for_status(int status, std::chrono::milliseconds timeout) {
    Completed last;
    const bool reached = wait_until(
        [&] {
            last = agentctl({"status"});
            return last.status == status;
        },
        timeout, 50ms);
    if (!reached) {
        raise_error("node {} does not reach status {}: {}\nagent:\n{}", name(), status, last.describe(),
                    agent_ ? agent_->output() : "was never started");
    }
}

void Node::kill_agent() {
    agent().signal(SIGKILL);
    if (!agent().wait(end_patience).has_value()) {
        raise_error("the agent of {} survived SIGKILL", name());
    }
}

int Node::stop_agent() {
    agent().signal(SIGTERM);
    const auto status = agent().wait(end_patience);
    if (!status.has_value()) {
        raise_error("the agent of {} ignores SIGTERM", name());
    }
    return *status;
}

Process& Node::agent() {
    if (!agent_) {
        raise_error("the agent of {} was never started", name());
    }
    return *agent_;
}

Completed Node::agentctl(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {program("agentctl"), "--run-dir", run_dir().string(), "--bpffs", bpffs().string()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run(ns_, argv);
}

nlohmann::json Node::agentctl_json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-o", "json"});
    const auto completed = agentctl(arguments);
    if (!completed.ok()) {
        raise_error("{}", completed.describe());
    }
    auto parsed = nlohmann::json::parse(completed.out, nullptr, false);
    if (parsed.is_discarded()) {
        raise_error("not JSON: {}", completed.describe());
    }
    return parsed;
}

void Node::set_xdp(const std::string& mode) {
    options_.xdp = mode;
    write_file_atomically(config_file(), agent_config());
}

void Node::set_extra_config(const std::string& lines) {
    options_.extra_config = lines;
    write_file_atomically(config_file(), agent_config());
}

std::uint64_t Node::drops(std::string_view reason) {
    return drops(reason, {});
}

std::uint64_t Node::drops(std::string_view reason, std::string_view direction) {
    const auto dump = agentctl_json({"map", "dump", "drop_counters"});
    std::uint64_t packets = 0;
    for (const auto& entry : dump.at(0).at("entries")) {
        const auto& key = entry.at("key");
        if (key.at("reason") == reason && (direction.empty() || key.at("direction") == direction)) {
            packets += entry.at("value").at("packets").get<std::uint64_t>();
        }
    }
    return packets;
}

Pod& Node::add_pod(const std::string& pod_name, unsigned mtu) {
    pods_.push_back(std::make_unique<Pod>(*this, pod_name, mtu));
    return *pods_.back();
}

void Node::remove_pod(const Pod& pod) {
    std::erase_if(pods_, [&pod](const auto& candidate) { return candidate.get() == &pod; });
}

std::string Node::cni_config(unsigned mtu) const {
    return nlohmann::json{
        {"cniVersion", "1.0.0"}, {"name", "podlane"}, {"type", "podlane"}, {"runDir", run_dir().string()}, {"mtu", mtu}}
        .dump();
}

}  // namespace podlane::net
