// SPDX-License-Identifier: Apache-2.0
// What verify makes of facts, and the record of a migration.
#include <fstream>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/migrate/verify.h"
#include "test/unit/migrate_fixture.h"
#include "test/unit/running_server.h"

namespace podlane::migrate {
namespace {

using testing::Contains;
using testing::Field;
using testing::HasSubstr;

std::vector<Check> not_ok(const std::vector<Check>& checks) {
    auto rest = checks;
    std::erase_if(rest, [](const Check& check) { return check.state == CheckState::ok; });
    return rest;
}

TEST(MigrateVerifyTest, AppliedNode_PassesWithEachPodAndPeer) {
    const auto checks = verify(applied_facts(), Stage::borrowed);
    EXPECT_TRUE(have_passed(checks));
    EXPECT_EQ(not_ok(checks), std::vector<Check>());
    for (const auto* subject : {"default/web", "default/db", "10.244.2.0/24", "10.244.3.0/24", "10.244.2.0"}) {
        EXPECT_THAT(checks, Contains(Field(&Check::subject, subject)));
    }
}

TEST(MigrateVerifyTest, SwitchedNode_PassesBeforeAndAfterItsRulesAreGone) {
    EXPECT_EQ(stage_of(applied_facts()), Stage::borrowed);
    EXPECT_EQ(stage_of(switched_facts()), Stage::committed);
    EXPECT_EQ(not_ok(verify(switched_facts(), Stage::switched)), std::vector<Check>());
    EXPECT_EQ(not_ok(verify(switched_facts(), Stage::committed)), std::vector<Check>());
}

// The kernel took its routes; what flannel knew is on record.
TEST(MigrateVerifyTest, FlannelsDeviceThatIsDown_IsNotBorrowedAndNoReasonNotToCommit) {
    EXPECT_EQ(stage_of(replaced_facts()), Stage::committed);
    const auto checks = verify(replaced_facts(), Stage::switched);
    EXPECT_EQ(not_ok(checks), std::vector<Check>());
    EXPECT_THAT(checks, Contains(Field(&Check::subject, "10.244.2.0/24")));
    auto facts = applied_facts();
    facts.flannel_is_up = false;
    EXPECT_EQ(stage_of(facts), Stage::borrowed) << "the agent has no device of its own";
}

TEST(MigrateVerifyTest, RulesThatAPodOnTheBridgeNeeds_AreNoFailure) {
    auto facts = switched_facts();
    facts.rules = some_rules();
    facts.bridge->ports.push_back({"veth-odd", 9, 1450});
    const auto checks = verify(facts, Stage::committed);
    EXPECT_TRUE(have_passed(checks));
    EXPECT_THAT(checks, Contains(testing::AllOf(Field(&Check::id, "rules"), Field(&Check::state, CheckState::note),
                                                Field(&Check::evidence, HasSubstr("1 pods on cni0 need")))));
}

struct VerifyCase {
    std::string name;
    Stage stage;
    std::function<void(Facts&)> spoil;
    std::string id;
    std::string evidence;
    CheckState state = CheckState::failed;
};

class VerifyCaseTest : public testing::TestWithParam<VerifyCase> {};

TEST_P(VerifyCaseTest, IsNamedAloneWithItsEvidence) {
    auto facts = GetParam().stage == Stage::borrowed ? applied_facts() : switched_facts();
    GetParam().spoil(facts);
    const auto found = not_ok(verify(facts, GetParam().stage));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found.front().id, GetParam().id);
    EXPECT_THAT(found.front().evidence, HasSubstr(GetParam().evidence));
    EXPECT_EQ(found.front().state, GetParam().state);
    EXPECT_EQ(found.front().mend.empty(), GetParam().state == CheckState::note);
    EXPECT_EQ(have_passed(found), GetParam().state == CheckState::note);
}

void remove_node(Facts& facts) {
    facts.agent->nodes.pop_back();
}
void change_mac(Facts& facts) {
    facts.nodes_by_pod_cidr[cidr_of(3)].mac = mac_of_peer(9);
}

INSTANTIATE_TEST_SUITE_P(
    Facts, VerifyCaseTest,
    testing::Values(
        VerifyCase{"Gap", Stage::borrowed, [](Facts& facts) { facts.gaps = {"list links: EIO"}; }, "looking", "EIO"},
        VerifyCase{"NoRecord", Stage::borrowed, [](Facts& facts) { facts.record.reset(); }, "record", "no way back"},
        VerifyCase{"OthersRecord", Stage::borrowed, [](Facts& facts) { facts.record->node = "n9"; }, "record", "n9"},
        VerifyCase{"RecordOfAnotherDevice", Stage::borrowed, [](Facts& facts) { facts.record->network.device.vni = 7; },
                   "record", "vni 7 on record, 1 now"},
        VerifyCase{"RecordOfOtherAddresses", Stage::borrowed,
                   [](Facts& facts) { facts.flannel->addresses = {{.address = address("10.244.9.0")}}; }, "record",
                   "addresses [] on record"},
        VerifyCase{"Down", Stage::borrowed, [](Facts& facts) { facts.flannel_is_up = false; }, "overlay", "is down"},
        VerifyCase{"StillThere", Stage::committed, [](Facts& facts) { facts = replaced_facts(); }, "overlay",
                   "it is still there"},
        VerifyCase{"StillUp", Stage::switched,
                   [](Facts& facts) {
                       facts.flannel = good_network();
                       facts.flannel_is_up = true;
                   },
                   "overlay", "it is still there"},
        VerifyCase{"NotInSync", Stage::borrowed, [](Facts& facts) { facts.agent->not_ready = "no podCIDR yet"; },
                   "agent", "no podCIDR yet"},
        VerifyCase{"OtherSubsystem", Stage::borrowed,
                   [](Facts& facts) { facts.agent->subsystems.front() = {"peers", "degraded", "n3 silent", ""}; },
                   "agent", "degraded: n3 silent"},
        VerifyCase{"NotBorrowed", Stage::borrowed,
                   [](Facts& facts) { facts.agent->subsystems.back() = {"overlay", "ok", "podlane0 mtu 1450", ""}; },
                   "overlay", "the agent does not use it"},
        VerifyCase{"PodNotAdopted", Stage::borrowed, [](Facts& facts) { facts.agent->endpoints.pop_back(); }, "pod",
                   "without an endpoint"},
        VerifyCase{"HookMissing", Stage::borrowed, [](Facts& facts) { facts.agent->links.front().state = "missing"; },
                   "pod", "a hook is missing"},
        VerifyCase{"PodToRestart", Stage::borrowed,
                   [](Facts& facts) { facts.bridge->ports.push_back({"veth-odd", 9, 1450}); }, "pod",
                   "must be restarted", CheckState::note},
        VerifyCase{"PeerUnknown", Stage::borrowed, &remove_node, "peer", "no node of the cluster"},
        VerifyCase{"PeerUnreachable", Stage::borrowed,
                   [](Facts& facts) { facts.agent->nodes.back().path = "unreachable"; }, "peer", "is unreachable"},
        VerifyCase{"PeerNotInMap", Stage::borrowed, [](Facts& facts) { facts.nodes_by_pod_cidr.erase(cidr_of(3)); },
                   "peer", "nodes_by_pod_cidr"},
        VerifyCase{"PeerMac", Stage::borrowed, &change_mac, "peer", "MAC 0e:61:06:ff:7a:09 in the map"},
        VerifyCase{"PeerVtep", Stage::borrowed,
                   [](Facts& facts) { facts.nodes_by_pod_cidr[cidr_of(3)].vtep = address("192.168.0.9"); }, "peer",
                   "VTEP 192.168.0.9 in the map"},
        VerifyCase{"PeerChangedBeforeTheRulesWent", Stage::switched, &change_mac, "peer", "changed since",
                   CheckState::note},
        VerifyCase{"PeerGoneBeforeTheRulesWent", Stage::switched, &remove_node, "peer", "changed since",
                   CheckState::note},
        VerifyCase{"PeerLostByTheSwitch", Stage::switched,
                   [](Facts& facts) { facts.nodes_by_pod_cidr.erase(cidr_of(3)); }, "peer", "nodes_by_pod_cidr"},
        VerifyCase{"PeerChangedLater", Stage::committed, &change_mac, "peer", "changed since", CheckState::note},
        VerifyCase{"PeerGoneLater", Stage::committed, &remove_node, "peer", "changed since", CheckState::note},
        VerifyCase{"Silent", Stage::borrowed, [](Facts& facts) { facts.silent = {address("10.244.3.0")}; }, "echo",
                   "no ICMP echo"},
        VerifyCase{"SilentBefore", Stage::borrowed,
                   [](Facts& facts) { facts.silent = facts.record->silent_peers = {address("10.244.3.0")}; }, "echo",
                   "as it was at apply", CheckState::note},
        VerifyCase{"FlannelFirst", Stage::borrowed,
                   [](Facts& facts) { std::swap(facts.cni.front(), facts.cni.back()); }, "cni", "flannel, portmap"},
        VerifyCase{"OtherNetwork", Stage::borrowed, [](Facts& facts) { facts.cni.front().network = "podlane"; }, "cni",
                   "its network is \"podlane\""},
        VerifyCase{"NoCni", Stage::borrowed, [](Facts& facts) { facts.cni.clear(); }, "cni", "no configuration"},
        VerifyCase{"Flanneld", Stage::borrowed, [](Facts& facts) { facts.flannelds = {42}; }, "flanneld", "process 42"},
        VerifyCase{"NoOverlay", Stage::switched, [](Facts& facts) { facts.overlay_mac.reset(); }, "overlay",
                   "no such device"},
        VerifyCase{"OverlayMac", Stage::committed, [](Facts& facts) { facts.overlay_mac = mac(web_mac); }, "overlay",
                   "peers send to 0e:61:06:ff:7a:01"},
        VerifyCase{"DegradedAfterTheSwitch", Stage::switched,
                   [](Facts& facts) { facts.agent->subsystems.back().state = "degraded"; }, "agent", "degraded"},
        VerifyCase{"RulesLeft", Stage::committed, [](Facts& facts) { facts.rules = some_rules(); }, "rules",
                   "FLANNEL-POSTRTG"}),
    [](const auto& one) { return one.param.name; });

TEST(MigrateVerifyTest, SilentAgent_Fails) {
    auto facts = applied_facts();
    facts.agent.reset();
    facts.agent_problem = "no agent answers";
    EXPECT_THAT(not_ok(verify(facts, Stage::borrowed)),
                Contains(testing::AllOf(Field(&Check::id, "agent"), Field(&Check::evidence, "no agent answers"))));
}

TEST(MigrateVerifyTest, Json_IsStable) {
    EXPECT_EQ(to_json({{"peer", "10.244.2.0/24", CheckState::failed, "seen", "do"}}, Stage::borrowed).dump(),
              R"({"stage":"borrowed","passed":false,"checks":[{"id":"peer","subject":"10.244.2.0/24",)"
              R"("state":"failed","evidence":"seen","mend":"do"}]})");
}

Record record_with_rules() {
    auto record = good_record();
    record.rules = some_rules();
    return record;
}

TEST(MigrateRecordTest, Text_ComesBackTheSame) {
    const auto read = parse_record(to_text(record_with_rules()));
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(*read, record_with_rules());
}

TEST(MigrateRecordTest, File_IsForRootAloneAndComesBackTheSame) {
    const TemporaryDirectory directory;
    const auto file = directory.path() / "lib" / "migration.json";
    const auto none = read_record(file);
    ASSERT_TRUE(none.has_value()) << none.error().message;
    EXPECT_FALSE(none->has_value());
    ASSERT_TRUE(write_record(file, good_record()).has_value());
    EXPECT_EQ(std::filesystem::status(file).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    const auto read = read_record(file);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(**read, good_record());
}

struct BadRecord {
    std::string name;
    std::function<void(nlohmann::json&)> spoil;
    std::string message;
};

class BadRecordTest : public testing::TestWithParam<BadRecord> {};

TEST_P(BadRecordTest, IsRefusedByFileAndMember) {
    auto json = nlohmann::json::parse(to_text(record_with_rules()));
    GetParam().spoil(json);
    const TemporaryDirectory directory;
    const auto file = directory.path() / "migration.json";
    std::ofstream(file) << json.dump();
    const auto read = read_record(file);
    ASSERT_FALSE(read.has_value());
    EXPECT_THAT(read.error().message, HasSubstr(file.string()));
    EXPECT_THAT(read.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Members, BadRecordTest,
    testing::Values(
        BadRecord{"NoObject", [](nlohmann::json& json) { json = {1, 2}; }, "not a JSON object"},
        BadRecord{"OtherVersion", [](nlohmann::json& json) { json["version"] = 2; }, "version is 2"},
        BadRecord{"NoVersion", [](nlohmann::json& json) { json.erase("version"); }, "version is missing"},
        BadRecord{"NoNode", [](nlohmann::json& json) { json.erase("node"); }, "node is missing"},
        BadRecord{"TimeOfAnotherType", [](nlohmann::json& json) { json["time"] = 5; }, "time is not of type string"},
        BadRecord{"NoAgent", [](nlohmann::json& json) { json["agent"] = "x"; }, "agent is not of type object"},
        BadRecord{"NoRunDir", [](nlohmann::json& json) { json["agent"].erase("runDir"); }, "agent: runDir is missing"},
        BadRecord{"RelativeBpffs", [](nlohmann::json& json) { json["agent"]["bpffs"] = "bpf"; },
                  "\"bpf\" is no absolute path"},
        BadRecord{"RelativeCniFile", [](nlohmann::json& json) { json["agent"]["cniConfigFile"] = "a.conf"; },
                  "agent.cniConfigFile"},
        BadRecord{"IdWithAPath", [](nlohmann::json& json) { json["adopted"] = {"../../etc/passwd"}; }, "adopted"},
        BadRecord{"IdOfAnotherType", [](nlohmann::json& json) { json["adopted"] = {5}; }, "adopted: 5"},
        BadRecord{"BadPeer", [](nlohmann::json& json) { json["silentPeers"] = {"10.244.3"}; }, "silentPeers"},
        BadRecord{"BadNetwork", [](nlohmann::json& json) { json["network"]["device"].erase("mac"); }, "network: "},
        BadRecord{"NoRules", [](nlohmann::json& json) { json.erase("rules"); }, "rules is missing"},
        BadRecord{"BadRules", [](nlohmann::json& json) { json["rules"] = 7; }, "rules: "}),
    [](const auto& one) { return one.param.name; });

TEST(MigrateRecordTest, FileThatIsCutOff_IsRefused) {
    const auto text = to_text(good_record());
    EXPECT_FALSE(parse_record(std::string_view(text).substr(0, text.size() / 2)).has_value());
}

}  // namespace
}  // namespace podlane::migrate
