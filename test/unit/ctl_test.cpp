// SPDX-License-Identifier: Apache-2.0
// agentctl as a whole: arguments in; data, messages and exit status out. The agent is a real control server with
// canned answers.
#include <yaml-cpp/yaml.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/ctl/agentctl.h"
#include "agent/ctl/output.h"
#include "test/unit/running_server.h"

namespace podlane::ctl {
namespace {

using namespace std::chrono_literals;

struct Ran {
    ExitStatus status;
    std::string out;
    std::string err;
};

Ran agentctl(std::vector<std::string> arguments) {
    std::ostringstream out;
    std::ostringstream err;
    const auto status = run_agentctl(std::move(arguments), out, err);
    return {status, out.str(), err.str()};
}

constexpr const char* ok_status =
    R"({"state":"ok","node":"n1","version":"0.1.0","subsystems":[{"name":"state","state":"ok","reason":"","action":""}],"details":{"nodes":2,"pods":[1,2]}})";
constexpr const char* degraded_status =
    R"({"state":"degraded","node":"n1","version":"0.1.0","subsystems":[
        {"name":"state","state":"degraded","reason":"cluster.yaml:12: not a mapping","action":"mend the file"},
        {"name":"datapath","state":"ok","reason":"","action":""}],"details":{}})";

class AgentctlTest : public testing::Test {
protected:
    void answer(const std::string& path, const std::string& body, unsigned status = 200) {
        answers_[path] = {.status = status, .body = body};
    }
    void serve() {
        server_.emplace(directory_.path(), [this](HttpServer& server) {
            for (const auto& [path, response] : answers_) {
                server.handle("GET", path, [response](const HttpRequest&) { return response; });
            }
        });
    }
    [[nodiscard]] Ran run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"--run-dir", directory_.path().native()});
        return agentctl(std::move(arguments));
    }

    TemporaryDirectory directory_;
    std::map<std::string, HttpResponse> answers_;
    std::optional<RunningServer> server_;
};

TEST_F(AgentctlTest, StatusOk_IsExitStatus0) {
    answer("/v1/status", ok_status);
    serve();
    const Ran ran = run({"status"});
    EXPECT_EQ(ran.status, ExitStatus::ok);
    EXPECT_EQ(ran.out,
              "node n1, podlane 0.1.0: ok\n"
              "\n"
              "SUBSYSTEM  STATE  REASON  ACTION\n"
              "state      ok     -       -\n");
    EXPECT_EQ(ran.err, "");
}

TEST_F(AgentctlTest, StatusDegraded_IsExitStatus5WithReasonAndAction) {
    answer("/v1/status", degraded_status);
    serve();
    const Ran ran = run({"status", "--no-headers"});
    EXPECT_EQ(ran.status, ExitStatus::degraded);
    EXPECT_EQ(ran.out,
              "state     degraded  cluster.yaml:12: not a mapping  mend the file\n"
              "datapath  ok        -                               -\n");
    const Ran json = run({"-o", "json", "status"});
    EXPECT_EQ(json.status, ExitStatus::degraded);
    EXPECT_EQ(nlohmann::json::parse(json.out), nlohmann::json::parse(degraded_status));
}

TEST_F(AgentctlTest, StatusFailed_IsExitStatus5) {
    answer("/v1/status", R"({"state":"failed","subsystems":[]})");
    serve();
    EXPECT_EQ(run({"status"}).status, ExitStatus::degraded);
}

TEST_F(AgentctlTest, StatusWide_ShowsTheDetails) {
    answer("/v1/status", ok_status);
    serve();
    const Ran ran = run({"status", "-o", "wide"});
    EXPECT_NE(ran.out.find("\nDETAIL  VALUE\nnodes   2\npods    1,2\n"), std::string::npos) << ran.out;
}

TEST_F(AgentctlTest, Status_ShowsTheWaysTakenOnThisKernel) {
    answer("/v1/status",
           R"({"state":"ok","node":"n1","version":"0.1.0","subsystems":[],"details":{"nodes":2,"features":)"
           R"({"encapsulation":"tunnel device","hooks":"clsact","memory":"rlimit"}}})");
    serve();
    const std::string ways = "encapsulation: tunnel device\nhooks: clsact\nmemory: rlimit\n\n";
    const Ran ran = run({"status"});
    EXPECT_EQ(ran.status, ExitStatus::ok);
    EXPECT_EQ(ran.out, "node n1, podlane 0.1.0: ok\n" + ways + "SUBSYSTEM  STATE  REASON  ACTION\n");
    EXPECT_EQ(run({"status", "--no-headers"}).out, "");
    const Ran wide = run({"status", "-o", "wide"});
    EXPECT_EQ(wide.out, ran.out + "\nDETAIL  VALUE\nnodes   2\n");
}

TEST_F(AgentctlTest, NoAgent_IsExitStatus3AndSaysWhatToDo) {
    const Ran ran = run({"status"});
    EXPECT_EQ(ran.status, ExitStatus::unreachable);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, fmt::format("agentctl: no agent answers on {}/agent.sock: No such file or directory; start "
                                   "podlane-agent on this node, or name its directory with --run-dir\n",
                                   directory_.path().native()));
}

TEST_F(AgentctlTest, HangingAgent_IsExitStatus3AfterTheTimeout) {
    const auto silent = listen_unix(directory_.path() / "agent.sock");
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(run({"node", "list", "--timeout", "200ms"}).status, ExitStatus::unreachable);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 3s);
}

TEST_F(AgentctlTest, SenselessAnswers_AreErrors) {
    answer("/v1/status", "[]");
    answer("/v1/nodes", "{}");
    answer("/v1/pods", "not json");
    answer("/v1/links", "[1]");
    serve();
    EXPECT_EQ(run({"status"}).err, "agentctl: the agent's answer to /v1/status has no state or no subsystems\n");
    EXPECT_EQ(run({"node", "list"}).err, "agentctl: the agent's answer to /v1/nodes is no array of objects\n");
    EXPECT_EQ(run({"pod", "list"}).err, "agentctl: the agent's answer to /v1/pods is no JSON\n");
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"status"}, {"node", "list"}, {"pod", "list"}, {"link", "list"}}) {
        EXPECT_EQ(run(command).status, ExitStatus::error);
    }
}

TEST_F(AgentctlTest, RefusingAgent_IsQuoted) {
    answer("/v1/nodes", R"({"error":"not in sync yet"})", 503);
    serve();
    const Ran ran = run({"node", "list"});
    EXPECT_EQ(ran.status, ExitStatus::error);
    EXPECT_EQ(ran.err, "agentctl: the agent refuses /v1/nodes: not in sync yet\n");
    EXPECT_EQ(run({"pod", "list"}).status, ExitStatus::not_found) << "an agent that does not know the path";
}

TEST_F(AgentctlTest, Nodes_AreATableOrTheAgentsJson) {
    const char* nodes =
        R"([{"name":"n1","internalIP":"192.168.0.8","podCIDRs":["10.244.1.0/24"],"path":"local","reason":""},
            {"name":"n2","internalIP":"192.168.0.9","podCIDRs":["10.244.2.0/24","10.244.3.0/24"],"path":"vxlan","reason":"mode is vxlan"}])";
    answer("/v1/nodes", nodes);
    serve();
    EXPECT_EQ(run({"node", "list"}).out,
              "NAME  INTERNAL-IP  POD-CIDRS                    PATH   REASON\n"
              "n1    192.168.0.8  10.244.1.0/24                local  -\n"
              "n2    192.168.0.9  10.244.2.0/24,10.244.3.0/24  vxlan  mode is vxlan\n");
    EXPECT_EQ(nlohmann::json::parse(run({"node", "list", "-o", "json"}).out), nlohmann::json::parse(nodes));
    const auto yaml = YAML::Load(run({"node", "list", "-o", "yaml"}).out);
    EXPECT_EQ(yaml[1]["podCIDRs"][1].as<std::string>(), "10.244.3.0/24");
    EXPECT_EQ(yaml[0]["reason"].as<std::string>(), "");
}

TEST_F(AgentctlTest, Pods_ShowMacAndSnatInTheWideTable) {
    answer(
        "/v1/pods",
        R"([{"namespace":"a","name":"p","ip":"10.244.1.5","mac":"0a:01:02:03:04:05","interface":"pl1","link":"veth",)"
        R"("snat":"192.0.2.7"}])");
    serve();
    EXPECT_EQ(run({"pod", "list"}).out,
              "NAMESPACE  NAME  IP          INTERFACE  LINK\n"
              "a          p     10.244.1.5  pl1        veth\n");
    EXPECT_EQ(run({"pod", "list", "--output=wide", "--no-headers"}).out,
              "a  p  10.244.1.5  0a:01:02:03:04:05  pl1  veth  192.0.2.7\n");
}

TEST_F(AgentctlTest, Links_ShowWantedAgainstActual) {
    answer("/v1/links",
           R"([{"kind":"device","name":"podlane0","wanted":"mtu 1450","actual":"mtu 1500","state":"wrong"}])");
    serve();
    EXPECT_EQ(run({"link", "list"}).out,
              "KIND    NAME      STATE  WANTED    ACTUAL\n"
              "device  podlane0  wrong  mtu 1450  mtu 1500\n");
}

TEST_F(AgentctlTest, EmptyList_IsHeadersOrAnEmptyArray) {
    answer("/v1/pods", "[]");
    serve();
    EXPECT_EQ(run({"pod", "list"}).out, "NAMESPACE  NAME  IP  INTERFACE  LINK\n");
    EXPECT_EQ(run({"pod", "list", "--no-headers"}).out, "");
    EXPECT_EQ(run({"pod", "list", "-o", "json"}).out, "[]\n");
    EXPECT_EQ(YAML::Load(run({"pod", "list", "-o", "yaml"}).out).size(), 0U);
}

TEST_F(AgentctlTest, Version_NeedsNoAgent) {
    const Ran alone = run({"version", "-o", "json"});
    EXPECT_EQ(alone.status, ExitStatus::ok);
    EXPECT_EQ(nlohmann::json::parse(alone.out),
              (nlohmann::json{{"version", PODLANE_VERSION}, {"schema", 1}, {"agent", nullptr}}));
    answer("/v1/version", R"({"version":"0.0.9"})");
    serve();
    EXPECT_EQ(run({"version"}).out, fmt::format("VERSION  SCHEMA  AGENT\n{}    1       0.0.9\n", PODLANE_VERSION));
}

TEST_F(AgentctlTest, RunDirAndBpffs_AreTakenFromTheEnvironmentUnlessGiven) {
    answer("/v1/status", ok_status);
    serve();
    setenv("PODLANE_RUN_DIR", directory_.path().c_str(), 1);
    setenv("PODLANE_BPFFS", "/nonexistent/pins", 1);
    EXPECT_EQ(agentctl({"status"}).status, ExitStatus::ok);
    EXPECT_EQ(agentctl({"status", "--run-dir", "/nonexistent"}).status, ExitStatus::unreachable);
    EXPECT_NE(agentctl({"map", "list"}).err.find("/nonexistent/pins/v1/maps"), std::string::npos);
    unsetenv("PODLANE_RUN_DIR");
    unsetenv("PODLANE_BPFFS");
}

TEST_F(AgentctlTest, GlobalFlags_StandBeforeOrAfterTheCommand) {
    answer("/v1/nodes", "[]");
    serve();
    const std::string run_dir = directory_.path().native();
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--run-dir", run_dir, "-o", "json", "node", "list"},
          {"node", "--run-dir", run_dir, "list", "-o", "json"},
          {"node", "list", "--run-dir=" + run_dir, "-ojson"}}) {
        const Ran ran = agentctl(arguments);
        EXPECT_EQ(ran.status, ExitStatus::ok) << ran.err;
        EXPECT_EQ(ran.out, "[]\n");
    }
}

TEST(AgentctlMapPinsTest, NoPins_IsExitStatus4AndSaysWhatToDo) {
    for (const std::vector<std::string>& command : {std::vector<std::string>{"map", "list"},
                                                    {"map", "dump"},
                                                    {"map", "stats"},
                                                    {"map", "dump", "flow_owners"},
                                                    {"map", "get", "pods_by_ipv4", "10.244.1.5"}}) {
        auto arguments = command;
        arguments.insert(arguments.end(), {"--bpffs", "/nonexistent"});
        const Ran ran = agentctl(arguments);
        EXPECT_EQ(ran.status, ExitStatus::not_found);
        EXPECT_EQ(ran.out, "");
        EXPECT_EQ(ran.err,
                  "agentctl: no maps are pinned at /nonexistent/v1/maps: start podlane-agent on this node, or name its "
                  "directory with --bpffs\n");
    }
}

TEST(AgentctlMapPinsTest, FileThatIsNoPin_IsAnError) {
    const TemporaryDirectory directory;
    std::filesystem::create_directories(directory.path() / "v1" / "maps");
    std::ofstream(directory.path() / "v1" / "maps" / "pods_by_ipv4") << "no map";
    const Ran ran = agentctl({"map", "dump", "pods_by_ipv4", "--bpffs", directory.path().native()});
    EXPECT_EQ(ran.status, ExitStatus::error);
    EXPECT_NE(ran.err.find("open map pods_by_ipv4 at "), std::string::npos) << ran.err;
}

TEST(AgentctlMapPinsTest, UnknownMap_IsExitStatus4AndListsTheOthers) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"map", "dump", "pods"}, {"map", "get", "pods", "1"}}) {
        const Ran ran = agentctl(arguments);
        EXPECT_EQ(ran.status, ExitStatus::not_found);
        EXPECT_EQ(ran.err,
                  "agentctl: there is no map \"pods\"; the maps are nodes_by_pod_cidr, nodes_by_ipv4, pods_by_ipv4, "
                  "networks_by_prefix, pod_cidr_lengths, flow_owners, drop_counters, handover_counters, "
                  "path_counters, nat_by_flow, nat_by_reply, nat_ports_by_destination, nat_given_ports, "
                  "nat_flows_by_pod, nat_fragments, nat_address_by_device, "
                  "macvlan_pods_by_ipv4\n");
    }
}

TEST(AgentctlDoctorTest, ConfigurationThatCannotBeRead_IsNamedAndNothingIsPrinted) {
    const auto ran = agentctl({"doctor", "--config", "/nonexistent/podlane.yaml"});
    EXPECT_EQ(ran.status, ExitStatus::error);
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err.find("/nonexistent/podlane.yaml"), std::string::npos) << ran.err;
}

TEST(AgentctlMigrateTest, ConfigurationOrRootThatCannotBeRead_IsNamedAndNothingIsPrinted) {
    for (const auto* step : {"plan", "apply", "verify", "commit"}) {
        const auto ran = agentctl({"migrate", step, "--config", "/nonexistent/podlane.yaml"});
        EXPECT_EQ(ran.status, ExitStatus::error);
        EXPECT_EQ(ran.out, "");
        EXPECT_NE(ran.err.find("/nonexistent/podlane.yaml"), std::string::npos) << ran.err;
    }
    const auto ran = agentctl({"migrate", "rollback", "--root", "/nonexistent"});
    EXPECT_EQ(ran.status, ExitStatus::usage);
    EXPECT_EQ(ran.err, "agentctl: --root: \"/nonexistent\" is no absolute path of a directory\n");
}

TEST(AgentctlMigrateTest, RecordThatIsNone_KeepsRollbackFromTouchingAnything) {
    const TemporaryDirectory directory;
    const auto record = directory.path() / "migration.json";
    std::ofstream(record) << "{}";
    const auto ran = agentctl({"migrate", "rollback", "--record", record.string(), "--run-dir", directory.path()});
    EXPECT_EQ(ran.status, ExitStatus::error);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, fmt::format("agentctl: {}: version is missing, this agentctl knows 1\n", record.string()));
}

struct UsageCase {
    std::vector<std::string> arguments;
    std::string message;
};

class UsageTest : public testing::TestWithParam<UsageCase> {};

TEST_P(UsageTest, WrongUse_IsExitStatus2WithOneLine) {
    const Ran ran = agentctl(GetParam().arguments);
    EXPECT_EQ(ran.status, ExitStatus::usage);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, fmt::format("agentctl: {}; see agentctl --help\n", GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Arguments, UsageTest,
    testing::Values(UsageCase{{}, "A subcommand is required"}, UsageCase{{"map"}, "A subcommand is required"},
                    UsageCase{{"nope"}, R"(there is no command or option "nope")"},
                    UsageCase{{"migrate"}, "A subcommand is required"},
                    UsageCase{{"migrate", "now"}, R"(there is no command or option "now")"},
                    UsageCase{{"migrate", "plan", "--probe"}, R"(there is no command or option "--probe")"},
                    UsageCase{{"map", "nope"}, R"(there is no command or option "nope")"},
                    UsageCase{{"status", "extra"}, R"(there is no command or option "extra")"},
                    UsageCase{{"status", "--nope"}, R"(there is no command or option "--nope")"},
                    UsageCase{{"map", "get", "pods_by_ipv4"}, "KEY is required"},
                    UsageCase{{"-o", "xml", "status"}, R"(--output: "xml" is none of table, wide, json, yaml)"},
                    UsageCase{{"--timeout", "0", "status"},
                              R"(--timeout: "0" is no time from 1ms to 24 hours (5, 5s, 500ms))"}));

TEST(AgentctlHelpTest, Help_IsOnStdoutWithExitStatus0) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--help"}, {"-h"}, {"map", "--help"}, {"map", "dump", "-h"}}) {
        const Ran ran = agentctl(arguments);
        EXPECT_EQ(ran.status, ExitStatus::ok);
        EXPECT_NE(ran.out.find("Usage: agentctl"), std::string::npos) << ran.out;
        EXPECT_EQ(ran.err, "");
    }
}

// What bash itself offers for a line, one word each.
std::string completions(const std::filesystem::path& script, const std::string& words) {
    const std::string command = fmt::format(
        "bash -c 'source {}; COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _agentctl; "
        "echo \"${{COMPREPLY[*]}}\"'",
        script.native(), words);
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::array<char, 4096> line{};
    return fgets(line.data(), line.size(), pipe.get()) != nullptr ? line.data() : "";
}

TEST(AgentctlCompletionTest, Bash_CompletesCommandsMapsAndFormats) {
    const Ran ran = agentctl({"completion", "bash"});
    EXPECT_EQ(ran.status, ExitStatus::ok);
    const TemporaryDirectory directory;
    const auto script = directory.path() / "completion";
    std::ofstream(script) << ran.out;
    EXPECT_EQ(completions(script, "agentctl sta"), "status\n");
    EXPECT_EQ(completions(script, "agentctl map \"\""),
              "--help -h list dump get stats --run-dir --bpffs --output -o --no-headers --timeout\n");
    EXPECT_EQ(completions(script, "agentctl map dump pods"), "pods_by_ipv4\n");
    EXPECT_EQ(completions(script, "agentctl -o json map get flow"), "flow_owners\n");
    EXPECT_EQ(completions(script, "agentctl status -o y"), "yaml\n");
    EXPECT_EQ(completions(script, "agentctl migrate ver"), "verify\n");
    EXPECT_EQ(completions(script, "agentctl migrate commit --re"), "--record\n");
}

TEST(TimeoutTest, SecondsAndMilliseconds) {
    EXPECT_EQ(parse_timeout("5").value(), 5s);
    EXPECT_EQ(parse_timeout("2.5s").value(), 2500ms);
    EXPECT_EQ(parse_timeout("500ms").value(), 500ms);
    for (const std::string_view text : {"", "s", "ms", "0", "-1", "0.1ms", "nan", "inf", "1e9", "5m", "5 s"}) {
        EXPECT_FALSE(parse_timeout(text).has_value()) << text;
    }
}

TEST(TableTest, Cells_AreAlignedByCharactersAndCleaned) {
    Table table({"A", "LONG", "C"});
    table.add({"ä", "x", "1"});
    table.add({"abc", "\x1b[2Jline\n", ""});
    std::ostringstream out;
    table.print(out, Headers::shown);
    EXPECT_EQ(out.str(),
              "A    LONG       C\n"
              "ä    x          1\n"
              "abc  ?[2Jline?  -\n");
}

TEST(TableTest, Header_IsSplitIntoWords) {
    EXPECT_EQ(header_of("podCIDRs"), "POD-CIDRS");
    EXPECT_EQ(header_of("internalIP"), "INTERNAL-IP");
    EXPECT_EQ(header_of("vtepMac"), "VTEP-MAC");
    EXPECT_EQ(header_of("ip"), "IP");
}

TEST(YamlTest, StringsThatLookLikeSomethingElse_StayStrings) {
    const Json strings = {"true", "No",  "null", "~",  "1e3", "0x10", "12", "11:22:33:44:55:66",
                          "",     "- a", "a: b", "1.5"};
    const Json others = {1, -2, 1.5, true, nullptr, Json::array(), Json::object()};
    YAML::Emitter emitter;
    emit_yaml(emitter, {{"strings", strings}, {"others", others}});
    const YAML::Node node = YAML::Load(emitter.c_str());
    for (std::size_t i = 0; i < strings.size(); ++i) {
        EXPECT_EQ(node["strings"][i].as<std::string>(), strings[i].get<std::string>());
        EXPECT_EQ(node["strings"][i].Tag(), "!") << "quoted: " << strings[i];
    }
    EXPECT_EQ(node["others"][1].as<int>(), -2);
    EXPECT_EQ(node["others"][3].as<bool>(), true);
    EXPECT_TRUE(node["others"][4].IsNull());
    EXPECT_TRUE(node["others"][5].IsSequence());
    EXPECT_TRUE(node["others"][6].IsMap());
}

}  // namespace
}  // namespace podlane::ctl
