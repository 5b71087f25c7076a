// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/config/command_line.h"
#include "agent/config/validate.h"

namespace podlane {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::Eq;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Optional;
using testing::SizeIs;
using testing::StartsWith;

HostFacts host() {
    return {.environment = {},
            .host_name = "Worker-7",
            .default_config = "/nonexistent/podlane.yaml",
            .current_directory = "/srv"};
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

Config good(std::string_view text) {
    auto config = parse_config(text, "podlane.yaml", host());
    EXPECT_TRUE(config.has_value()) << (config ? "" : config.error().message);
    return config.value_or(Config{});
}

std::string error_of(std::string_view text) {
    const auto config = parse_config(text, "podlane.yaml", host());
    return config ? "no error" : config.error().message;
}

// ---- what the file says

TEST(ConfigTest, EmptyFile_GivesTheDefaultsOfTheContract) {
    for (const auto* text : {"", "# nothing\n", "{}", "---\n", "nodeName:\noverlay:\n"}) {
        const Config config = good(text);
        EXPECT_EQ(config.node_name, "worker-7") << "as the kubelet writes it";
        EXPECT_EQ(config.run_dir, "/run/podlane");
        EXPECT_EQ(config.bpffs, "/sys/fs/bpf/podlane");
        EXPECT_EQ(config.state.source, StateSource::kubernetes);
        EXPECT_EQ(config.state.file, "/etc/podlane/cluster.yaml");
        EXPECT_EQ(config.state.kubeconfig, "");
        EXPECT_EQ(config.state.cache_file, "/var/lib/podlane/cluster-state.json");
        EXPECT_THAT(config.state.etcd.endpoints, ElementsAre("http://127.0.0.1:2379"));
        EXPECT_EQ(config.state.etcd.prefix, "/coreos.com/network");
        EXPECT_THAT(config.cluster_cidrs, ElementsAre(prefix("10.244.0.0/16")));
        EXPECT_THAT(config.service_cidrs, IsEmpty());
        EXPECT_EQ(config.underlay.device, "");
        EXPECT_EQ(config.underlay.xdp, XdpMode::automatic);
        EXPECT_EQ(config.overlay.mode, OverlayMode::automatic);
        EXPECT_EQ(config.overlay.device, "podlane0");
        EXPECT_EQ(config.overlay.vni, 1U);
        EXPECT_EQ(config.overlay.port, 8472);
        EXPECT_EQ(config.overlay.mtu, 0U);
        EXPECT_FALSE(config.overlay.flannel);
        EXPECT_TRUE(config.snat.enabled);
        EXPECT_THAT(config.snat.non_masquerade_cidrs, IsEmpty());
        EXPECT_EQ(config.snat.port_range, (PortRange{20000, 29999}));
        EXPECT_EQ(config.snat.ip_masq_agent_file, "/etc/config/ip-masq-agent");
        EXPECT_THAT(config.macvlan, IsEmpty());
        EXPECT_THAT(config.listen, Optional(ListenAddress{"127.0.0.1", 9479}));
    }
}

constexpr std::string_view every_key = R"(nodeName: n1
runDir: /run/p1
bpffs: /sys/fs/bpf/p1
state:
  source: etcd
  file: /etc/podlane/state.d/
  kubeconfig: /etc/podlane/kubeconfig
  cacheFile: /var/cache/state
  etcd: {endpoints: ["https://a:2379", "https://b:2379"], prefix: /x, caFile: /ca, certFile: /cert, keyFile: /key}
clusterCIDRs: [10.1.0.0/16, 10.2.0.0/16]
serviceCIDRs: [10.32.0.0/24]
underlay: {device: em2, xdp: generic}
overlay: {mode: host-gw, device: lane1, vni: 16777215, port: 4789, mtu: 1400, flannel: true}
snat: {enabled: true, ipMasqAgentFile: /etc/masq, nonMasqueradeCIDRs: [192.168.0.0/16], portRange: 10000-19999}
macvlan:
- {name: lan, master: em2, mode: bridge, hostAddress: move, shim: podlane-lan, serviceCIDRs: [10.33.0.0/24]}
listen: "[::1]:80"
)";

TEST(ConfigTest, EveryKeyOfTheContract_IsRead) {
    const Config config = good(every_key);
    EXPECT_EQ(config.node_name, "n1");
    EXPECT_EQ(config.run_dir, "/run/p1");
    EXPECT_EQ(config.bpffs, "/sys/fs/bpf/p1");
    EXPECT_EQ(config.state.source, StateSource::etcd);
    EXPECT_EQ(config.state.kubeconfig, "/etc/podlane/kubeconfig");
    EXPECT_EQ(config.state.cache_file, "/var/cache/state");
    EXPECT_THAT(config.state.etcd.endpoints, ElementsAre("https://a:2379", "https://b:2379"));
    EXPECT_EQ(config.state.etcd.prefix, "/x");
    EXPECT_EQ(config.state.etcd.ca_file, "/ca");
    EXPECT_EQ(config.state.etcd.cert_file, "/cert");
    EXPECT_EQ(config.state.etcd.key_file, "/key");
    EXPECT_THAT(config.cluster_cidrs, ElementsAre(prefix("10.1.0.0/16"), prefix("10.2.0.0/16")));
    EXPECT_THAT(config.service_cidrs, ElementsAre(prefix("10.32.0.0/24")));
    EXPECT_EQ(config.underlay.device, "em2");
    EXPECT_EQ(config.underlay.xdp, XdpMode::generic);
    EXPECT_EQ(config.overlay.mode, OverlayMode::host_gw);
    EXPECT_EQ(config.overlay.device, "lane1");
    EXPECT_EQ(config.overlay.vni, 0xffffffU);
    EXPECT_EQ(config.overlay.port, 4789);
    EXPECT_EQ(config.overlay.mtu, 1400U);
    EXPECT_TRUE(config.overlay.flannel);
    EXPECT_THAT(config.snat.non_masquerade_cidrs, ElementsAre(prefix("192.168.0.0/16")));
    EXPECT_EQ(config.snat.port_range, (PortRange{10000, 19999}));
    EXPECT_EQ(config.snat.ip_masq_agent_file, "/etc/masq");
    ASSERT_THAT(config.macvlan, SizeIs(1));
    EXPECT_EQ(config.macvlan[0].name, "lan");
    EXPECT_EQ(config.macvlan[0].master, "em2");
    EXPECT_EQ(config.macvlan[0].mode, MacvlanMode::bridge);
    EXPECT_EQ(config.macvlan[0].host_address, HostAddress::move);
    EXPECT_EQ(config.macvlan[0].shim, "podlane-lan");
    EXPECT_THAT(config.macvlan[0].service_cidrs, ElementsAre(prefix("10.33.0.0/24")));
    EXPECT_THAT(config.listen, Optional(ListenAddress{"::1", 80}));
}

TEST(ConfigTest, Json_IsRead) {
    const Config config = good("{\n\t\"overlay\": {\"vni\": 7, \"flannel\": true},\n\t\"listen\": \"\"\n}\n");
    EXPECT_EQ(config.overlay.vni, 7U);
    EXPECT_TRUE(config.overlay.flannel);
    EXPECT_THAT(config.listen, Eq(std::nullopt)) << "\"\" turns it off";
}

struct BadConfig {
    std::string_view name;
    std::string_view text;
    std::string_view message;
};

class BadConfigTest : public testing::TestWithParam<BadConfig> {};

TEST_P(BadConfigTest, IsOneClearLine) {
    EXPECT_EQ(error_of(GetParam().text), GetParam().message);
    EXPECT_EQ(error_of(GetParam().text).find('\n'), std::string::npos);
}

const auto bad_in_the_file = std::to_array<BadConfig>({
    {"unknown_key", "nodeName: n1\nlogLevel: debug\n",
     "podlane.yaml:2: unknown key logLevel (known here: nodeName, runDir, bpffs, state, clusterCIDRs, "
     "serviceCIDRs, underlay, overlay, snat, macvlan, cni, kubernetes, listen)"},
    {"unknown_nested_key", "overlay:\n  port: 8472\n  vnii: 1\n",
     "podlane.yaml:3: unknown key overlay.vnii (known here: mode, device, vni, port, mtu, flannel)"},
    {"unknown_key_in_a_list", "macvlan:\n- name: lan\n  bridge: x\n",
     "podlane.yaml:3: unknown key macvlan[0].bridge (known here: name, master, mode, hostAddress, shim, "
     "serviceCIDRs)"},
    {"unknown_key_without_value", "overlay:\n  mut:\n",
     "podlane.yaml:2: unknown key overlay.mut (known here: mode, device, vni, port, mtu, flannel)"},
    {"key_twice", "overlay: {vni: 1}\nsnat: {}\noverlay: {vni: 2}\n", "podlane.yaml:3: key overlay comes twice"},
    {"two_documents", "nodeName: a\n---\nnodeName: b\n",
     "podlane.yaml:2: a second document: one is the whole configuration"},
    {"list", "- nodeName\n", "podlane.yaml:1: the configuration must be an object (key: value)"},
    {"text_for_object", "overlay: vxlan\n", "podlane.yaml:1: overlay: must be an object, not text"},
    {"text_for_list", "clusterCIDRs: 10.244.0.0/16\n", "podlane.yaml:1: clusterCIDRs: must be a list, not text"},
    {"text_for_number", "overlay:\n  vni: \"1\"\n", "podlane.yaml:2: overlay.vni: must be a whole number, not text"},
    {"number_for_text", "nodeName: 5\n", "podlane.yaml:1: nodeName: must be text, not a number"},
    {"text_for_flag", "snat: {enabled: yes}\n", "podlane.yaml:1: snat.enabled: must be true or false, not text"},
    {"null_in_list", "clusterCIDRs: [~]\n", "podlane.yaml:1: clusterCIDRs[0]: must be text, not empty"},
    {"fraction", "overlay: {vni: 1.5}\n", "podlane.yaml:1: overlay.vni: 1.5 is not a whole number"},
    {"negative", "overlay: {vni: -1}\n", "podlane.yaml:1: overlay.vni: -1 is not a whole number"},
    {"vni_too_large", "overlay: {vni: 16777216}\n",
     "podlane.yaml:1: overlay.vni: 16777216 is out of range (0 to 16777215)"},
    {"port_zero", "overlay: {port: 0}\n", "podlane.yaml:1: overlay.port: 0 is out of range (1 to 65535)"},
    {"port_too_large", "overlay: {port: 65536}\n", "podlane.yaml:1: overlay.port: 65536 is out of range (1 to 65535)"},
    {"port_beyond_64_bits", "overlay: {port: 99999999999999999999}\n",
     "podlane.yaml:1: overlay.port: 99999999999999999999 is not a whole number"},
    {"mtu_too_small", "overlay: {mtu: 575}\n", "podlane.yaml:1: overlay.mtu: 575 is out of range (576 to 65485)"},
    {"mtu_too_large", "overlay: {mtu: 65486}\n", "podlane.yaml:1: overlay.mtu: 65486 is out of range (576 to 65485)"},
    {"unknown_mode", "overlay: {mode: gre}\n", "podlane.yaml:1: overlay.mode: \"gre\" is none of auto, vxlan, host-gw"},
    {"unknown_source", "state: {source: consul}\n",
     "podlane.yaml:1: state.source: \"consul\" is none of kubernetes, etcd, file"},
    {"unknown_xdp", "underlay: {xdp: fast}\n",
     "podlane.yaml:1: underlay.xdp: \"fast\" is none of auto, native, generic, off"},
    {"bad_cidr", "clusterCIDRs:\n- 10.244.0.0/16\n- 10.245.0.0/33\n",
     "podlane.yaml:3: clusterCIDRs[1]: \"10.245.0.0/33\" is not an IPv4 prefix (ADDRESS/LENGTH)"},
    {"host_bits", "clusterCIDRs: [10.244.1.0/16]\n",
     "podlane.yaml:1: clusterCIDRs[0]: \"10.244.1.0/16\" has host bits set; the prefix is 10.244.0.0/16"},
    {"relative_path", "runDir: run\n", "podlane.yaml:1: runDir: \"run\" is not an absolute path"},
    {"bad_listen", "listen: 9479\n", "podlane.yaml:1: listen: must be text, not a number"},
    {"listen_without_port", "listen: localhost:x\n", "podlane.yaml:1: listen: \"localhost:x\" is not ADDRESS:PORT"},
    {"listen_bare_ipv6", "listen: '::1:80'\n", "podlane.yaml:1: listen: \"::1:80\" is not ADDRESS:PORT"},
    {"masq_file_relative", "snat: {ipMasqAgentFile: masq}\n",
     "podlane.yaml:1: snat.ipMasqAgentFile: \"masq\" is not an absolute path"},
    {"ports_reversed", "snat: {portRange: 20000-10000}\n",
     "podlane.yaml:1: snat.portRange: \"20000-10000\" is not LOW-HIGH with ports from 1 to 65535"},
    {"ports_from_zero", "snat: {portRange: 0-10000}\n",
     "podlane.yaml:1: snat.portRange: \"0-10000\" is not LOW-HIGH with ports from 1 to 65535"},
    {"port_range_of_one", "snat: {portRange: '20000'}\n",
     "podlane.yaml:1: snat.portRange: \"20000\" is not LOW-HIGH with ports from 1 to 65535"},
});

INSTANTIATE_TEST_SUITE_P(OfTheFile, BadConfigTest, testing::ValuesIn(bad_in_the_file),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

const auto bad_as_a_whole = std::to_array<BadConfig>({
    {"no_cluster_cidr", "clusterCIDRs: []\n", "clusterCIDRs: at least one is needed"},
    {"cluster_cidrs_overlap", "clusterCIDRs: [10.0.0.0/8, 10.244.0.0/16]\n",
     "clusterCIDRs[1]: 10.244.0.0/16 overlaps 10.0.0.0/8"},
    {"cluster_cidr_everything", "clusterCIDRs: [0.0.0.0/0]\n",
     "clusterCIDRs[0]: 0.0.0.0/0 cannot be a network of pods or services"},
    {"cluster_cidr_multicast", "clusterCIDRs: [224.0.0.0/8]\n",
     "clusterCIDRs[0]: 224.0.0.0/8 cannot be a network of pods or services"},
    {"services_in_cluster", "serviceCIDRs: [10.244.32.0/24]\n",
     "serviceCIDRs: 10.244.32.0/24 overlaps 10.244.0.0/16 of clusterCIDRs"},
    {"device_too_long", "overlay: {device: sixteen-letters-}\n",
     "overlay.device: \"sixteen-letters-\" is longer than 15 characters"},
    {"device_with_slash", "underlay: {device: a/b}\n", "underlay.device: \"a/b\" cannot be a device's name"},
    {"device_empty", "overlay: {device: ''}\n", "overlay.device: must not be empty"},
    {"devices_alike", "underlay: {device: podlane0}\n",
     "overlay.device: podlane0 is the name of underlay.device as well"},
    {"shim_like_overlay", "macvlan: [{name: a, master: em2, shim: podlane0}]\n",
     "macvlan[0].shim: podlane0 is the name of overlay.device as well"},
    {"macvlan_masters_alike", "macvlan: [{name: a, master: b, shim: c}, {name: d, master: b, shim: e}]\n",
     "macvlan[1].master: b is the master of macvlan[0] as well"},
    {"macvlan_on_its_shim", "macvlan: [{name: a, master: b, shim: b}]\n",
     "macvlan[0].master: b is the shim of macvlan[0]"},
    {"macvlan_on_another_shim", "macvlan: [{name: a, master: b, shim: c}, {name: d, master: c, shim: e}]\n",
     "macvlan[1].master: c is the shim of macvlan[0]"},
    {"macvlan_on_the_overlay", "macvlan: [{name: a, master: podlane0, shim: c}]\n",
     "macvlan[0].master: podlane0 is overlay.device"},
    {"macvlan_services_in_cluster", "macvlan: [{name: a, master: b, shim: c, serviceCIDRs: [10.244.32.0/24]}]\n",
     "macvlan[0].serviceCIDRs: 10.244.32.0/24 overlaps 10.244.0.0/16 of clusterCIDRs"},
    {"macvlan_move_without_shim", "macvlan: [{name: a, master: b, shim: c, mode: vepa, hostAddress: move}]\n",
     "macvlan[0].hostAddress: move needs mode: bridge, there is no shim in the others"},
    {"macvlan_incomplete", "macvlan: [{name: a}]\n", "macvlan[0]: name, master and shim are needed"},
    {"ports_in_node_ports", "snat: {portRange: 25000-30000}\n",
     "snat.portRange: 25000-30000 collides with NodePorts (30000-32767)"},
    {"ports_in_ephemeral", "snat: {portRange: 60999-61000}\n",
     "snat.portRange: 60999-61000 collides with the host's ephemeral ports (32768-60999, "
     "net.ipv4.ip_local_port_range)"},
    {"endpoint", "state: {etcd: {endpoints: [localhost]}}\n",
     "state.etcd.endpoints: \"localhost\" begins with neither http:// nor https://"},
    {"etcd_prefix", "state: {etcd: {prefix: network}}\n",
     "state.etcd.prefix: \"network\" is no path as in /coreos.com/network"},
    {"half_a_certificate", "state: {etcd: {certFile: /c}}\n", "state.etcd: certFile and keyFile go together"},
    {"state_file_empty", "state: {file: ''}\n", "state.file: must not be empty"},
    {"run_dir_root", "runDir: /\n", "runDir: \"/\" cannot be used"},
});

INSTANTIATE_TEST_SUITE_P(OfTheWhole, BadConfigTest, testing::ValuesIn(bad_as_a_whole),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(ConfigTest, UnparsableYaml_NamesTheLine) {
    EXPECT_THAT(error_of("nodeName: n1\noverlay: {vni: 1\n"), StartsWith("podlane.yaml:3: not valid YAML: "));
    EXPECT_THAT(error_of("nodeName: n1\n\toverlay: 1\n"), StartsWith("podlane.yaml:2: not valid YAML: "));
}

TEST(ConfigTest, LongestDeviceName_IsGood) {
    EXPECT_EQ(good("overlay: {device: fifteen-letters}\n").overlay.device, "fifteen-letters");
}

TEST(ConfigTest, DefaultPorts_GiveWayToAnUnusualEphemeralRange) {
    EXPECT_THAT(default_port_range({32768, 60999}), Optional(PortRange{20000, 29999}));
    EXPECT_THAT(default_port_range({15000, 65000}), Optional(PortRange{1024, 11023}));
    EXPECT_THAT(default_port_range({1024, 29999}), Optional(PortRange{32768, 42767}));
    EXPECT_THAT(default_port_range({1024, 65535}), Eq(std::nullopt));
    EXPECT_THAT(default_port_range({2000, 65535}), Eq(std::nullopt));
}

TEST(ConfigTest, NoPortsLeft_IsAnErrorOnlyWhereSnatIsOn) {
    HostFacts crowded = host();
    crowded.ephemeral_ports = {1024, 65535};
    const auto on = parse_config("", "podlane.yaml", crowded);
    ASSERT_FALSE(on.has_value());
    EXPECT_THAT(on.error().message, StartsWith("snat.portRange: beside NodePorts (30000-32767)"));
    EXPECT_TRUE(parse_config("snat: {enabled: false}", "podlane.yaml", crowded).has_value());
    // macvlan pods are translated towards the other nodes all the same.
    EXPECT_FALSE(
        parse_config("snat: {enabled: false}\nmacvlan: [{name: a, master: b, shim: c}]", "podlane.yaml", crowded)
            .has_value());
}

// ---- flags, environment, file, defaults

class ConfigSourcesTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "podlane-config-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
        host_.default_config = (directory_ / "default.yaml").string();
    }
    void TearDown() override { fs::remove_all(directory_); }

    std::string write(const std::string& name, std::string_view text) const {
        std::ofstream(directory_ / name) << text;
        return (directory_ / name).string();
    }
    Config load(const Overrides& flags = {}) const {
        const auto config = load_config(flags, host_);
        EXPECT_TRUE(config.has_value()) << (config ? "" : config.error().message);
        return config.value_or(Config{});
    }

    fs::path directory_;
    HostFacts host_ = host();
};

TEST_F(ConfigSourcesTest, DefaultFile_IsReadOnlyIfItExists) {
    EXPECT_EQ(load().overlay.vni, 1U);
    write("default.yaml", "overlay: {vni: 5}\n");
    EXPECT_EQ(load().overlay.vni, 5U);
}

TEST_F(ConfigSourcesTest, FileThatWasAskedFor_MustExist) {
    const auto config = load_config({.config = "/nonexistent/x.yaml"}, host_);
    ASSERT_FALSE(config.has_value());
    EXPECT_EQ(config.error().message, "read /nonexistent/x.yaml: No such file or directory");
    EXPECT_FALSE(load_config({.config = directory_.string()}, host_).has_value());
}

TEST_F(ConfigSourcesTest, FlagsGoBeforeEnvironmentBeforeFile) {
    write("default.yaml", "nodeName: of-file\nrunDir: /file\nbpffs: /file-bpf\nunderlay: {device: file0}\n");
    EXPECT_EQ(load().node_name, "of-file");
    host_.environment = {{"PODLANE_NODE_NAME", "of-environment"}, {"PODLANE_RUN_DIR", "/environment"},
                         {"PODLANE_BPFFS", "/environment-bpf"},   {"PODLANE_UNDERLAY", "env0"},
                         {"PODLANE_LOG_LEVEL", "debug"},          {"PODLANE_LOG_FORMAT", "json"},
                         {"NODE_NAME", "of-kubernetes"}};
    const Config from_environment = load();
    EXPECT_EQ(from_environment.node_name, "of-environment");
    EXPECT_EQ(from_environment.run_dir, "/environment");
    EXPECT_EQ(from_environment.bpffs, "/environment-bpf");
    EXPECT_EQ(from_environment.underlay.device, "env0");
    EXPECT_EQ(from_environment.log_level, log::Level::debug);
    EXPECT_EQ(from_environment.log_format, log::Format::json);
    const Config from_flags = load({.node_name = "of-flag", .run_dir = "/flag", .log_level = "error"});
    EXPECT_EQ(from_flags.node_name, "of-flag");
    EXPECT_EQ(from_flags.run_dir, "/flag");
    EXPECT_EQ(from_flags.log_level, log::Level::error);
    EXPECT_EQ(from_flags.bpffs, "/environment-bpf");
}

TEST_F(ConfigSourcesTest, ConfigFile_CanBeNamedByTheEnvironment) {
    host_.environment["PODLANE_CONFIG"] = write("other.yaml", "overlay: {vni: 9}\n");
    EXPECT_EQ(load().overlay.vni, 9U);
    EXPECT_EQ(load({.config = write("flag.yaml", "overlay: {vni: 10}\n")}).overlay.vni, 10U);
}

TEST_F(ConfigSourcesTest, NodeName_ComesFromKubernetesBeforeTheHost) {
    EXPECT_EQ(load().node_name, "worker-7");
    host_.environment["NODE_NAME"] = "n7";
    EXPECT_EQ(load().node_name, "n7");
    write("default.yaml", "nodeName: of-file\n");
    EXPECT_EQ(load().node_name, "of-file");
}

TEST_F(ConfigSourcesTest, NoNodeNameAtAll_IsAnError) {
    host_.host_name = "";
    const auto config = load_config({}, host_);
    ASSERT_FALSE(config.has_value());
    EXPECT_EQ(config.error().message, "nodeName: \"\" cannot be a node's name");
}

TEST_F(ConfigSourcesTest, StateFile_ImpliesTheFileSource) {
    write("default.yaml", "state: {source: kubernetes}\n");
    EXPECT_EQ(load().state.source, StateSource::kubernetes);
    const Config config = load({.state_file = "cluster.yaml"});
    EXPECT_EQ(config.state.source, StateSource::file);
    EXPECT_EQ(config.state.file, "/srv/cluster.yaml") << "relative to the current directory";
    host_.environment["PODLANE_STATE_FILE"] = "/state.d/";
    EXPECT_EQ(load().state.file, "/state.d");
    EXPECT_EQ(load().state.source, StateSource::file);
}

TEST_F(ConfigSourcesTest, EmptyVariable_IsNone) {
    host_.environment = {{"PODLANE_STATE_FILE", ""}, {"PODLANE_NODE_NAME", ""}, {"NODE_NAME", ""}};
    EXPECT_EQ(load().state.source, StateSource::kubernetes);
    EXPECT_EQ(load().node_name, "worker-7");
}

TEST_F(ConfigSourcesTest, BadLogLevelInTheEnvironment_IsAnError) {
    host_.environment["PODLANE_LOG_LEVEL"] = "loud";
    const auto config = load_config({}, host_);
    ASSERT_FALSE(config.has_value());
    EXPECT_EQ(config.error().message, "log level: \"loud\" is not a log level (debug, info, warning, error)");
}

TEST_F(ConfigSourcesTest, ThisHost_HasFacts) {
    const HostFacts facts = read_host_facts();
    EXPECT_FALSE(facts.host_name.empty());
    EXPECT_LT(facts.ephemeral_ports.low, facts.ephemeral_ports.high);
    EXPECT_THAT(facts.current_directory, StartsWith("/"));
}

// ---- the command line

std::expected<Invocation, Exit> parse(const std::vector<std::string>& arguments) {
    return parse_command_line(arguments);
}

TEST(CommandLineTest, NoArguments_RunTheAgent) {
    const auto invocation = parse({});
    ASSERT_TRUE(invocation.has_value());
    EXPECT_EQ(invocation->command, AgentCommand::run);
    EXPECT_THAT(invocation->flags.state_file, Eq(std::nullopt));
}

TEST(CommandLineTest, EveryFlag_IsTaken) {
    const auto invocation =
        parse({"--config", "c", "--node-name=n1", "--run-dir", "r", "--bpffs", "b", "--state-file", "s", "--underlay",
               "u", "--log-level", "debug", "--log-format", "json", "--check-config"});
    ASSERT_TRUE(invocation.has_value());
    EXPECT_EQ(invocation->command, AgentCommand::check_config);
    EXPECT_THAT(invocation->flags.config, Optional(std::string("c")));
    EXPECT_THAT(invocation->flags.node_name, Optional(std::string("n1")));
    EXPECT_THAT(invocation->flags.run_dir, Optional(std::string("r")));
    EXPECT_THAT(invocation->flags.bpffs, Optional(std::string("b")));
    EXPECT_THAT(invocation->flags.state_file, Optional(std::string("s")));
    EXPECT_THAT(invocation->flags.underlay, Optional(std::string("u")));
    EXPECT_THAT(invocation->flags.log_level, Optional(std::string("debug")));
    EXPECT_THAT(invocation->flags.log_format, Optional(std::string("json")));
}

TEST(CommandLineTest, Cleanup_TakesTheSameFlagsBeforeAndAfter) {
    const auto invocation = parse({"--bpffs", "b", "cleanup", "--dry-run", "--run-dir", "r"});
    ASSERT_TRUE(invocation.has_value());
    EXPECT_EQ(invocation->command, AgentCommand::cleanup);
    EXPECT_TRUE(invocation->dry_run);
    EXPECT_THAT(invocation->flags.bpffs, Optional(std::string("b")));
    EXPECT_THAT(invocation->flags.run_dir, Optional(std::string("r")));
    EXPECT_FALSE(parse({"cleanup"})->dry_run);
}

TEST(CommandLineTest, FeaturesToDoWithout_AddUpAndGoWithCleanup) {
    const auto invocation = parse({"--without-feature", "tcx", "cleanup", "--without-feature=own-headers"});
    ASSERT_TRUE(invocation.has_value());
    EXPECT_EQ(invocation->command, AgentCommand::cleanup);
    EXPECT_EQ(invocation->without.to_string(), "tcx, own-headers");
    EXPECT_TRUE(parse({})->without.empty());
}

TEST(CommandLineTest, FeatureNobodyKnows_IsRefusedWithTheListOfThoseThereAre) {
    const auto invocation = parse({"--without-feature", "tcx", "--without-feature", "wings"});
    ASSERT_FALSE(invocation.has_value());
    EXPECT_EQ(invocation.error().status, 2);
    EXPECT_THAT(invocation.error().text, HasSubstr("there is no feature \"wings\": one of tcx, own-headers, "));
}

TEST(CommandLineTest, TestSwitch_IsNotInTheHelp) {
    EXPECT_THAT(parse({"--help"}).error().text, Not(HasSubstr("without")));
    EXPECT_THAT(parse({"cleanup", "--help"}).error().text, Not(HasSubstr("without")));
}

TEST(CommandLineTest, HelpAndVersion_EndWithStatusZero) {
    ASSERT_FALSE(parse({"--version"}).has_value());
    EXPECT_EQ(parse({"--version"}).error().status, 0);
    EXPECT_EQ(parse({"--version"}).error().text, "podlane-agent " PODLANE_VERSION "\n");
    EXPECT_EQ(parse({"--help"}).error().status, 0);
    EXPECT_THAT(parse({"--help"}).error().text, HasSubstr("--state-file"));
    EXPECT_THAT(parse({"cleanup", "--help"}).error().text, HasSubstr("--dry-run"));
}

TEST(CommandLineTest, WrongUsage_EndsWithStatusTwoAndOneLine) {
    for (const auto& arguments : std::vector<std::vector<std::string>>{{"--no-such-flag"},
                                                                       {"--config"},
                                                                       {"start"},
                                                                       {"--dry-run"},
                                                                       {"--log-level", "loud"},
                                                                       {"--log-format", "xml"},
                                                                       {"--without-feature"},
                                                                       {"--without-feature", ""},
                                                                       {"--without-feature", "wings"},
                                                                       {"cleanup", "--check-config"}}) {
        const auto invocation = parse(arguments);
        ASSERT_FALSE(invocation.has_value()) << arguments.front();
        EXPECT_EQ(invocation.error().status, 2) << arguments.front();
        EXPECT_THAT(invocation.error().text, StartsWith("podlane-agent: "));
        EXPECT_EQ(std::ranges::count(invocation.error().text, '\n'), 1) << invocation.error().text;
    }
}

}  // namespace
}  // namespace podlane
