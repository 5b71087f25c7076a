// SPDX-License-Identifier: Apache-2.0
// `agentctl map ...` on real pinned maps, with no agent anywhere.
#include <arpa/inet.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "agent/ctl/agentctl.h"
#include "maps/base/monotonic.h"
#include "maps/catalog.h"
#include "test/prog/map_support.h"

namespace podlane::prog {
namespace {

using ctl::ExitStatus;
using Document = nlohmann::json;

struct Ran {
    ExitStatus status;
    std::string out;
    std::string err;
};

__be32 address(std::string_view text) {
    return AddressKeyFormat::parse(text).value();
}

class AgentctlMapTest : public BpffsTest {
protected:
    void SetUp() override {
        BpffsTest::SetUp();
        ASSERT_TRUE(nodes_.update(PodCidrKeyFormat::parse("10.244.2.0/24").value(), peer_).has_value());
        ASSERT_TRUE(nodes_.update(PodCidrKeyFormat::parse("10.244.10.0/24").value(), peer_).has_value());
        ASSERT_TRUE(addresses_.update(address("192.168.0.9"), peer_).has_value());
        ASSERT_TRUE(pods_.update(address("10.244.1.5"), pod_).has_value());
        ASSERT_TRUE(networks_.update(NetworkKeyFormat::parse("10.244.0.0/16").value(), {NETWORK_CLUSTER}).has_value());
        ASSERT_TRUE(lengths_.update(0, {.count = 2, .length = {26, 24}, .pad = {}}).has_value());
        ASSERT_TRUE(flows_.update(FlowKeyFormat::parse("tcp:10.244.1.5:40000:10.244.2.7:80").value(),
                                  {.owner = FLOW_OWNER_FAST, .pending = 0, .unmerged = 0, .pad = 0}));
        ASSERT_TRUE(drops_.update({.reason = DROP_WRONG_VNI, .direction = DIRECTION_FROM_UNDERLAY}, per_cpu(3, 100)));
        ASSERT_TRUE(handovers_.update({.reason = HANDOVER_OUTSIDE, .direction = DIRECTION_FROM_POD}, per_cpu(1, 60)));
        ASSERT_TRUE(paths_.update(PATH_POD_TO_OVERLAY, per_cpu(5, 7)));
        fill_translations();
        pin_all();
    }

    void fill_translations() {
        const auto flow = FlowKeyFormat::parse("udp:10.244.1.5:40000:203.0.113.10:53").value();
        ASSERT_TRUE(translations_.update(flow, {.last_seen = 7,
                                                .nat_address = address("192.168.0.1"),
                                                .nat_port = htons(20000),
                                                .flags = NAT_FLAG_STACK,
                                                .pod_seen = NAT_SEEN_DATA | NAT_SEEN_FIN,
                                                .remote_seen = NAT_SEEN_RST,
                                                .way_tos = 0,
                                                .way_length = 0,
                                                .way_seen = 0,
                                                .way = 0}));
        ASSERT_TRUE(claims_.update(NatReplyKeyFormat::parse("udp:192.168.0.1:20000:203.0.113.10:53").value(),
                                   {.flow = flow, .since = 5, .lock = {}, .pad = 0}));
        nat_ports ports{};
        ports.used[0] = 2;
        ports.used[255] = 3;
        ASSERT_TRUE(ports_.update(NatDestinationKeyFormat::parse("udp:192.168.0.1:203.0.113.10:53").value(), ports));
        nat_port_page page{};
        page.given[7] = page.given[8] = 1;
        ASSERT_TRUE(given_.update(0, page));
        ASSERT_TRUE(pod_flows_.update(address("10.244.1.5"), {.flows = 9}));
        ASSERT_TRUE(fragments_.update(NatFragmentKeyFormat::parse("udp:10.244.1.5:203.0.113.10:4711").value(),
                                      {.seen = 6, .address = address("192.168.0.1"), .flags = 0, .pad = {}}));
        ASSERT_TRUE(devices_.update(2, {.address = address("192.168.0.1"),
                                        .flags = NAT_DEVICE_OWN | NAT_DEVICE_L3,
                                        .mtu = 1420,
                                        .mac = {},
                                        .shim_mac = {}}));
        ASSERT_TRUE(macvlan_pods_.update(
            address("172.20.7.51"),
            {.ifindex = 9, .host_address = address("172.20.7.100"), .mac = {0x0a, 1, 2, 3, 4, 6}, .pad = {}}));
    }

    void add_translation(std::string_view flow, std::uint16_t port, __u64 last_seen) {
        nat_entry entry{};
        entry.last_seen = last_seen;
        entry.nat_address = address("192.168.0.1");
        entry.nat_port = htons(port);
        entry.pod_seen = entry.remote_seen = NAT_SEEN_DATA;
        ASSERT_TRUE(translations_.update(FlowKeyFormat::parse(flow).value(), entry));
    }

    static std::vector<packet_counter> per_cpu(std::uint64_t packets, std::uint64_t bytes) {
        return std::vector<packet_counter>(possible_cpus(), {.packets = packets, .bytes = bytes});
    }
    void pin_all() {
        pin(nodes_.fd(), pin_path<spec::nodes_by_pod_cidr>(bpffs()));
        pin(addresses_.fd(), pin_path<spec::nodes_by_ipv4>(bpffs()));
        pin(pods_.fd(), pin_path<spec::pods_by_ipv4>(bpffs()));
        pin(networks_.fd(), pin_path<spec::networks_by_prefix>(bpffs()));
        pin(lengths_.fd(), pin_path<spec::pod_cidr_lengths>(bpffs()));
        pin(flows_.fd(), pin_path<spec::flow_owners>(bpffs()));
        pin(drops_.fd(), pin_path<spec::drop_counters>(bpffs()));
        pin(handovers_.fd(), pin_path<spec::handover_counters>(bpffs()));
        pin(paths_.fd(), pin_path<spec::path_counters>(bpffs()));
        pin(translations_.fd(), pin_path<spec::nat_by_flow>(bpffs()));
        pin(claims_.fd(), pin_path<spec::nat_by_reply>(bpffs()));
        pin(ports_.fd(), pin_path<spec::nat_ports_by_destination>(bpffs()));
        pin(given_.fd(), pin_path<spec::nat_given_ports>(bpffs()));
        pin(pod_flows_.fd(), pin_path<spec::nat_flows_by_pod>(bpffs()));
        pin(fragments_.fd(), pin_path<spec::nat_fragments>(bpffs()));
        pin(devices_.fd(), pin_path<spec::nat_address_by_device>(bpffs()));
        pin(macvlan_pods_.fd(), pin_path<spec::macvlan_pods_by_ipv4>(bpffs()));
    }
    [[nodiscard]] Ran agentctl(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"--bpffs", bpffs().native()});
        std::ostringstream out;
        std::ostringstream err;
        const auto status = ctl::run_agentctl(std::move(arguments), out, err);
        return {status, out.str(), err.str()};
    }
    // The JSON of a command that must succeed and have nothing to say beside it.
    [[nodiscard]] Document json(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"-o", "json"});
        const Ran run = agentctl(std::move(arguments));
        EXPECT_EQ(run.status, ExitStatus::ok) << run.err;
        EXPECT_EQ(run.err, "");
        return Document::parse(run.out, nullptr, false);
    }

    const node_route peer_{.vtep = address("192.168.0.9"),
                           .next_hop = address("192.168.0.1"),
                           .ifindex = 2,
                           .mtu = 1450,
                           .vtep_mac = {2, 0x50, 0xc0, 0xa8, 0, 9},
                           .path = NODE_PATH_VXLAN,
                           .pad = 0};
    const pod_endpoint pod_{.ifindex = 7,
                            .mtu = 1450,
                            .gateway = address("10.244.1.1"),
                            .mac = {0x0a, 1, 2, 3, 4, 5},
                            .host_mac = {0x0e, 1, 2, 3, 4, 5},
                            .egress_address = 0,
                            .flags = 0,
                            .pad = {}};
    Map<spec::nodes_by_pod_cidr> nodes_ = new_map<spec::nodes_by_pod_cidr>();
    Map<spec::nodes_by_ipv4> addresses_ = new_map<spec::nodes_by_ipv4>();
    Map<spec::pods_by_ipv4> pods_ = new_map<spec::pods_by_ipv4>();
    Map<spec::networks_by_prefix> networks_ = new_map<spec::networks_by_prefix>();
    Map<spec::pod_cidr_lengths> lengths_ = new_map<spec::pod_cidr_lengths>();
    Map<spec::flow_owners> flows_ = new_map<spec::flow_owners>();
    Map<spec::drop_counters> drops_ = new_map<spec::drop_counters>();
    Map<spec::handover_counters> handovers_ = new_map<spec::handover_counters>();
    Map<spec::path_counters> paths_ = new_map<spec::path_counters>();
    Map<spec::nat_by_flow> translations_ = new_map<spec::nat_by_flow>();
    Map<spec::nat_by_reply> claims_ = new_map<spec::nat_by_reply>();
    Map<spec::nat_ports_by_destination> ports_ = new_map<spec::nat_ports_by_destination>();
    Map<spec::nat_given_ports> given_ = new_map<spec::nat_given_ports>();
    Map<spec::nat_flows_by_pod> pod_flows_ = new_map<spec::nat_flows_by_pod>();
    Map<spec::nat_fragments> fragments_ = new_map<spec::nat_fragments>();
    Map<spec::nat_address_by_device> devices_ = new_map<spec::nat_address_by_device>();
    Map<spec::macvlan_pods_by_ipv4> macvlan_pods_ = new_map<spec::macvlan_pods_by_ipv4>();
};

TEST_F(AgentctlMapTest, DumpAsJson_IsEveryMapDecoded) {
    const Document peer = {{"vtep", "192.168.0.9"}, {"nextHop", "192.168.0.1"},       {"ifindex", 2},
                           {"mtu", 1450},           {"vtepMac", "02:50:c0:a8:00:09"}, {"path", "vxlan"}};
    const auto cpus = possible_cpus();
    const auto counter = [cpus](std::size_t packets, std::size_t bytes) {
        return Document{{"packets", packets * cpus}, {"bytes", bytes * cpus}};
    };
    const auto map = [](const char* name, const char* type, unsigned capacity, Document entries) {
        return Document{{"name", name}, {"type", type}, {"maxEntries", capacity}, {"entries", std::move(entries)}};
    };
    const auto entry = [](Document key, Document value) {
        return Document{{"key", std::move(key)}, {"value", std::move(value)}};
    };
    const auto all = json({"map", "dump"});
    ASSERT_TRUE(all.is_array());
    ASSERT_EQ(all.size(), 17U);
    EXPECT_EQ(all[0], map("nodes_by_pod_cidr", "hash", 16384,
                          {entry({{"podCIDR", "10.244.2.0/24"}}, peer), entry({{"podCIDR", "10.244.10.0/24"}}, peer)}));
    EXPECT_EQ(all[1],
              map("nodes_by_ipv4", "hash", 16384, Document::array({entry({{"address", "192.168.0.9"}}, peer)})));
    EXPECT_EQ(all[2], map("pods_by_ipv4", "hash", 4096,
                          Document::array({entry({{"address", "10.244.1.5"}}, {{"ifindex", 7},
                                                                               {"mtu", 1450},
                                                                               {"gateway", "10.244.1.1"},
                                                                               {"mac", "0a:01:02:03:04:05"},
                                                                               {"hostMac", "0e:01:02:03:04:05"},
                                                                               {"egressIP", ""},
                                                                               {"snat", true}})})));
    EXPECT_EQ(all[3], map("networks_by_prefix", "lpm_trie", 16384,
                          Document::array({entry({{"prefix", "10.244.0.0/16"}}, {{"class", "cluster"}})})));
    EXPECT_EQ(all[4],
              map("pod_cidr_lengths", "array", 1, Document::array({entry({{"index", 0}}, {{"lengths", {26, 24}}})})));
    EXPECT_EQ(all[5], map("flow_owners", "lru_hash", 131072,
                          Document::array({entry({{"protocol", "tcp"},
                                                  {"podIP", "10.244.1.5"},
                                                  {"podPort", 40000},
                                                  {"remoteIP", "10.244.2.7"},
                                                  {"remotePort", 80}},
                                                 {{"owner", "fast"}, {"pending", Document::array()}})})));
    EXPECT_EQ(
        all[6],
        map("drop_counters", "percpu_hash", 1024,
            Document::array({entry({{"reason", "wrong-vni"}, {"direction", "from-underlay"}}, counter(3, 100))})));
    EXPECT_EQ(all[7],
              map("handover_counters", "percpu_hash", 1024,
                  Document::array({entry({{"reason", "outside"}, {"direction", "from-pod"}}, counter(1, 60))})));
    EXPECT_EQ(all[8]["entries"][PATH_POD_TO_OVERLAY], entry({{"path", "pod-to-overlay"}}, counter(5, 7)));
    EXPECT_EQ(all[8]["entries"].size(), std::size_t{PATH_COUNT});
}

TEST_F(AgentctlMapTest, DumpOfTheMacvlanPods_HasAddressesAndMacs) {
    EXPECT_EQ(json({"map", "dump", "macvlan_pods_by_ipv4"})[0]["entries"],
              Document::array(
                  {Document{{"key", {{"address", "172.20.7.51"}}},
                            {"value", {{"ifindex", 9}, {"hostIP", "172.20.7.100"}, {"mac", "0a:01:02:03:04:06"}}}}}));
}

TEST_F(AgentctlMapTest, DumpOfTheTranslations_HasAddressesPortsAndNames) {
    const auto all = json({"map", "dump", "nat_by_flow", "nat_by_reply", "nat_ports_by_destination", "nat_flows_by_pod",
                           "nat_fragments", "nat_address_by_device"});
    const Document flow = {{"protocol", "udp"},
                           {"podIP", "10.244.1.5"},
                           {"podPort", 40000},
                           {"remoteIP", "203.0.113.10"},
                           {"remotePort", 53}};
    Document claim = flow;
    claim["since"] = 5;
    const auto is = [&](std::size_t at, const Document& key, const Document& value) {
        EXPECT_EQ(all[at]["entries"], Document::array({Document{{"key", key}, {"value", value}}}));
    };
    is(0, flow,
       {{"natIP", "192.168.0.1"},
        {"natPort", 20000},
        {"flags", {"stack"}},
        {"podSeen", {"data", "fin"}},
        {"remoteSeen", {"rst"}},
        {"lastSeen", 7}});
    is(1,
       {{"protocol", "udp"},
        {"natIP", "192.168.0.1"},
        {"natPort", 20000},
        {"remoteIP", "203.0.113.10"},
        {"remotePort", 53}},
       claim);
    is(2, {{"protocol", "udp"}, {"natIP", "192.168.0.1"}, {"remoteIP", "203.0.113.10"}, {"remotePort", 53}},
       {{"used", 5}});
    is(3, {{"address", "10.244.1.5"}}, {{"flows", 9}});
    is(4, {{"protocol", "udp"}, {"sourceIP", "10.244.1.5"}, {"destinationIP", "203.0.113.10"}, {"id", 4711}},
       {{"address", "192.168.0.1"}, {"flags", Document::array()}, {"seen", 6}});
    is(5, {{"ifindex", 2}},
       {{"address", "192.168.0.1"},
        {"flags", {"own", "l3"}},
        {"mtu", 1420},
        {"mac", "00:00:00:00:00:00"},
        {"shimMac", "00:00:00:00:00:00"}});
    EXPECT_EQ(json({"map", "get", "nat_given_ports", "0"})["value"], Document({{"given", 2}}));
    // A key as printed finds its entry.
    for (const auto& map : all) {
        const auto found = json({"map", "get", map["name"].get<std::string>(), map["entries"][0]["key"].dump()});
        EXPECT_EQ(found, map["entries"][0]);
    }
}

TEST_F(AgentctlMapTest, NatList_IsOfLiveTranslations) {
    const auto ns = static_cast<__u64>(monotonic_ns());
    add_translation("udp:10.244.1.5:40000:203.0.113.10:53", 20000, ns - 300'000'000'000U);  // over
    add_translation("tcp:10.244.1.5:40001:203.0.113.10:443", 20001, ns);
    add_translation("tcp:10.244.1.6:40001:203.0.113.10:443", 20002, ns);
    add_translation("icmp:10.244.1.6:7:203.0.113.10:7", 20003, ns);
    const auto all = json({"nat", "list"});
    ASSERT_EQ(all.size(), 3U);
    const auto expires = all[0]["expiresSeconds"].get<int>();
    EXPECT_GE(expires, 7430);
    EXPECT_LE(expires, 7440);
    EXPECT_EQ(all[0], (Document{{"protocol", "tcp"},
                                {"podIP", "10.244.1.5"},
                                {"podPort", 40001},
                                {"natIP", "192.168.0.1"},
                                {"natPort", 20001},
                                {"destinationIP", "203.0.113.10"},
                                {"destinationPort", 443},
                                {"state", "established"},
                                {"expiresSeconds", expires},
                                {"flags", Document::array()}}));
    EXPECT_EQ(all[1]["protocol"], "icmp");
    EXPECT_EQ(all[1]["state"], "active");
}

TEST_F(AgentctlMapTest, NatStats_AreOfLiveTranslationsBesideTheirLimits) {
    const auto now = static_cast<__u64>(monotonic_ns());
    add_translation("udp:10.244.1.5:40000:203.0.113.10:53", 20000, now - 300'000'000'000U);  // over
    add_translation("tcp:10.244.1.5:40001:203.0.113.10:443", 20001, now);
    add_translation("tcp:10.244.1.6:40001:203.0.113.10:443", 20002, now);
    add_translation("tcp:10.244.1.6:40002:203.0.113.10:443", 19999, now);  // of an earlier range
    add_translation("icmp:10.244.1.6:7:203.0.113.10:7", 20003, now);
    nat_ports range{};
    range.port_low = 20000;
    range.port_count = 64;
    ASSERT_TRUE(ports_.update(NatDestinationKeyFormat::parse("tcp:192.168.0.1:203.0.113.10:443").value(), range));
    EXPECT_EQ(
        json({"nat", "stats"}),
        (Document{{"pods",
                   {{{"podIP", "10.244.1.6"}, {"translations", 3}, {"maxTranslations", 32768}, {"usedPercent", 0}},
                    {{"podIP", "10.244.1.5"}, {"translations", 1}, {"maxTranslations", 32768}, {"usedPercent", 0}}}},
                  {"destinations",
                   {{{"protocol", "tcp"},
                     {"natIP", "192.168.0.1"},
                     {"destinationIP", "203.0.113.10"},
                     {"destinationPort", 443},
                     {"ports", 3},
                     {"maxPorts", 64},
                     {"usedPercent", 3}},
                    {{"protocol", "icmp"},
                     {"natIP", "192.168.0.1"},
                     {"destinationIP", "203.0.113.10"},
                     {"destinationPort", 0},
                     {"ports", 1},
                     {"maxPorts", nullptr},
                     {"usedPercent", nullptr}}}},
                  {"table", {{"translations", 4}, {"maxTranslations", 131072}, {"usedPercent", 0}}}}));
    EXPECT_EQ(agentctl({"nat", "stats"}).out,
              "POD-IP      TRANSLATIONS  MAX-TRANSLATIONS  USED-PERCENT\n"
              "10.244.1.6  3             32768             0\n"
              "10.244.1.5  1             32768             0\n"
              "\n"
              "PROTOCOL  NAT-IP       DESTINATION-IP  DESTINATION-PORT  PORTS  MAX-PORTS  USED-PERCENT\n"
              "tcp       192.168.0.1  203.0.113.10    443               3      64         3\n"
              "icmp      192.168.0.1  203.0.113.10    0                 1      -          -\n"
              "\n"
              "TRANSLATIONS  MAX-TRANSLATIONS  USED-PERCENT\n"
              "4             131072            0\n");
}

TEST_F(AgentctlMapTest, DumpAsYaml_MeansTheSameAsJson) {
    const Ran run = agentctl({"map", "dump", "-o", "yaml"});
    EXPECT_EQ(run.status, ExitStatus::ok) << run.err;
    const YAML::Node all = YAML::Load(run.out);
    ASSERT_EQ(all.size(), 17U);
    EXPECT_EQ(all[0]["entries"][1]["key"]["podCIDR"].as<std::string>(), "10.244.10.0/24");
    EXPECT_EQ(all[2]["entries"][0]["value"]["mac"].as<std::string>(), "0a:01:02:03:04:05");
    EXPECT_EQ(all[2]["entries"][0]["value"]["mtu"].as<unsigned>(), 1450U);
    EXPECT_EQ(all[4]["entries"][0]["value"]["lengths"].as<std::vector<unsigned>>(), (std::vector<unsigned>{26, 24}));
    EXPECT_EQ(all[5]["entries"][0]["value"]["pending"].size(), 0U);
}

TEST_F(AgentctlMapTest, DumpAsTable_IsAlignedAndSorted) {
    EXPECT_EQ(
        agentctl({"map", "dump", "nodes_by_pod_cidr", "networks_by_prefix"}).out,
        "nodes_by_pod_cidr (hash, 2 of 16384): which node owns a podCIDR, and the way to it\n"
        "POD-CIDR        VTEP         NEXT-HOP     IFINDEX  MTU   VTEP-MAC           PATH\n"
        "10.244.2.0/24   192.168.0.9  192.168.0.1  2        1450  02:50:c0:a8:00:09  vxlan\n"
        "10.244.10.0/24  192.168.0.9  192.168.0.1  2        1450  02:50:c0:a8:00:09  vxlan\n"
        "\n"
        "networks_by_prefix (lpm_trie, 1 of 16384): networks that are treated as a whole: clusterCIDRs and others\n"
        "PREFIX         CLASS\n"
        "10.244.0.0/16  cluster\n");
    EXPECT_EQ(agentctl({"--no-headers", "map", "dump", "networks_by_prefix"}).out, "10.244.0.0/16  cluster\n");
}

TEST_F(AgentctlMapTest, EmptyMap_HasItsColumnsAndAnEmptyArray) {
    ASSERT_TRUE(pods_.erase(address("10.244.1.5")).value());
    EXPECT_EQ(agentctl({"map", "dump", "pods_by_ipv4"}).out,
              "pods_by_ipv4 (hash, 0 of 4096): the pods of this node\n"
              "ADDRESS  IFINDEX  MTU  GATEWAY  MAC  HOST-MAC  EGRESS-IP  SNAT\n");
    EXPECT_EQ(json({"map", "dump", "pods_by_ipv4"})[0]["entries"], Document::array());
    EXPECT_EQ(YAML::Load(agentctl({"map", "dump", "pods_by_ipv4", "-o", "yaml"}).out)[0]["entries"].size(), 0U);
}

TEST_F(AgentctlMapTest, RawDump_ShowsTheBytesAsObjects) {
    const auto pod = json({"map", "dump", "--raw", "pods_by_ipv4"})[0]["entries"][0];
    EXPECT_EQ(pod["key"], (Document{{"bytes", "0af40105"}}));
    EXPECT_EQ(pod["value"], (Document{{"bytes", "07000000aa0500000af401010a01020304050e01020304050000000000000000"}}));
    const auto drops = json({"map", "dump", "--raw", "drop_counters"})[0]["entries"][0];
    EXPECT_EQ(drops["value"]["cpus"].size(), possible_cpus());
    EXPECT_EQ(drops["value"]["cpus"][0], "03000000000000006400000000000000");
}

TEST_F(AgentctlMapTest, Get_FindsTheKeyInTextAndInJson) {
    EXPECT_EQ(json({"map", "get", "pods_by_ipv4", "10.244.1.5"})["value"]["gateway"], "10.244.1.1");
    const auto flow = json({"map", "get", "flow_owners", "tcp:10.244.1.5:40000:10.244.2.7:80"});
    EXPECT_EQ(flow["value"]["owner"], "fast");
    EXPECT_EQ(json({"map", "get", "flow_owners", flow["key"].dump()}), flow);
    EXPECT_EQ(json({"map", "get", "drop_counters", "wrong-vni:from-underlay"})["value"]["packets"],
              3 * possible_cpus());
    EXPECT_EQ(agentctl({"map", "get", "networks_by_prefix", "10.244.0.0/16"}).out,
              "FIELD   VALUE\n"
              "prefix  10.244.0.0/16\n"
              "class   cluster\n");
}

TEST_F(AgentctlMapTest, Get_SaysWhatIsMissingOrWrong) {
    const Ran missing = agentctl({"map", "get", "pods_by_ipv4", "10.244.1.6"});
    EXPECT_EQ(missing.status, ExitStatus::not_found);
    EXPECT_EQ(missing.err, "agentctl: pods_by_ipv4 has no 10.244.1.6\n");
    const Ran wrong = agentctl({"map", "get", "pods_by_ipv4", "10.244.1.6/24"});
    EXPECT_EQ(wrong.status, ExitStatus::usage);
    EXPECT_EQ(wrong.err, "agentctl: pods_by_ipv4: \"10.244.1.6/24\" is not an IPv4 address\n");
}

TEST_F(AgentctlMapTest, Stats_CountEntriesCapacityAndMemory) {
    const auto stats = json({"map", "stats"});
    ASSERT_EQ(stats.size(), 17U);
    EXPECT_EQ(stats[0]["name"], "nodes_by_pod_cidr");
    EXPECT_EQ(stats[0]["entries"], 2);
    EXPECT_EQ(stats[0]["maxEntries"], 16384);
    EXPECT_GE(stats[0]["memoryBytes"], 16384 * 32);
}

TEST_F(AgentctlMapTest, List_NamesEveryMap) {
    const auto list = json({"map", "list"});
    ASSERT_EQ(list.size(), map_catalog().size());
    for (std::size_t i = 0; i < list.size(); ++i) {
        EXPECT_EQ(list[i]["name"], map_catalog()[i].shape.name);
        EXPECT_EQ(list[i]["purpose"], map_catalog()[i].purpose);
    }
}

TEST_F(AgentctlMapTest, MapThatIsNotPinned_IsToldAndTheRestIsShown) {
    std::filesystem::remove(pin_path<spec::flow_owners>(bpffs()));
    const Ran all = agentctl({"map", "dump", "-o", "json"});
    EXPECT_EQ(all.status, ExitStatus::ok);
    EXPECT_EQ(Document::parse(all.out).size(), 16U);
    EXPECT_NE(all.err.find("open map flow_owners at "), std::string::npos) << all.err;
    EXPECT_EQ(agentctl({"map", "dump", "flow_owners"}).status, ExitStatus::not_found);
}

TEST_F(AgentctlMapTest, PinOfAnotherSchema_IsAnErrorThatNamesTheDifference) {
    const auto path = pin_path<spec::pods_by_ipv4>(bpffs());
    std::filesystem::remove(path);
    pin(create_map<spec::nodes_by_ipv4>().get(), path);
    const Ran run = agentctl({"map", "dump", "pods_by_ipv4"});
    EXPECT_EQ(run.status, ExitStatus::error);
    EXPECT_EQ(run.err,
              "agentctl: map pods_by_ipv4 is not what this version uses: the value size is 24, not 32, the capacity is "
              "16384, not 4096\n");
}

TEST_F(AgentctlMapTest, DumpThatCannotBeWritten_IsAnError) {
    std::ofstream full("/dev/full");
    std::ostringstream err;
    const auto status = ctl::run_agentctl({"map", "dump", "--bpffs", bpffs().native()}, full, err);
    EXPECT_EQ(status, ExitStatus::error);
    EXPECT_EQ(err.str(), "agentctl: the output could not be written\n");
}

TEST_F(AgentctlMapTest, FullFlowTable_IsDumpedWhole) {
    std::vector<flow_key> keys;
    keys.reserve(spec::flow_owners::capacity);
    for (std::uint32_t i = 0; i < spec::flow_owners::capacity; ++i) {
        keys.push_back({.pod_address = address("10.244.1.5"),
                        .remote_address = htonl(0x0a000000U + i),
                        .pod_port = htons(static_cast<std::uint16_t>(i)),
                        .remote_port = htons(443),
                        .protocol = 6,
                        .pad = {}});
    }
    const std::vector<flow_entry> values(keys.size(),
                                         {.owner = FLOW_OWNER_FAST, .pending = 0, .unmerged = 0, .pad = 0});
    ASSERT_TRUE(flows_.update_all(keys, values).has_value());
    for (const char* format : {"json", "table"}) {
        const Ran ran = agentctl({"map", "dump", "flow_owners", "-o", format});
        EXPECT_EQ(ran.status, ExitStatus::ok) << ran.err;
        // The least recently used ones make room before the table is full to the last entry.
        EXPECT_GT(std::ranges::count(ran.out, '\n'), 100'000) << format;
    }
}

}  // namespace
}  // namespace podlane::prog
