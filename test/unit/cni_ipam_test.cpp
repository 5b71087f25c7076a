// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/ipam.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "agent/cni/process.h"

namespace podlane::cni {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

NetworkConfig config_of(const json& extra = json::object()) {
    json raw{{"cniVersion", "1.1.0"}, {"name", "podlane"}, {"type", "podlane"}, {"runDir", "/run/x"}};
    raw.update(extra);
    return *parse_config(raw.dump(), Command::add);
}

TEST(CniIpamTest, WithoutIpamSection_HostLocalServesThePodCidrsAsOneSet) {
    const std::vector ranges{*Ipv4Prefix::parse("10.244.1.0/24"), *Ipv4Prefix::parse("10.244.9.0/24")};
    EXPECT_EQ(ipam_section(config_of(), ranges), json::parse(R"({
        "type": "host-local", "dataDir": "/run/x/ipam",
        "ranges": [[{"subnet": "10.244.1.0/24"}, {"subnet": "10.244.9.0/24"}]]})"));
}

TEST(CniIpamTest, IpamSectionOfTheUser_IsUsedAsGiven) {
    const json section{{"type", "static"}, {"addresses", {{{"address", "10.1.0.5/16"}}}}};
    EXPECT_EQ(ipam_section(config_of({{"ipam", section}}), {}), section);
}

TEST(CniIpamTest, HostLocalWithoutRanges_ServesThePodCidrsOutOfTheNamedStore) {
    const std::vector ranges{*Ipv4Prefix::parse("10.244.1.0/24")};
    const json section{{"type", "host-local"}, {"dataDir", "/var/lib/cni/networks"}};
    auto wanted = section;
    wanted["ranges"] = json::parse(R"([[{"subnet": "10.244.1.0/24"}]])");
    EXPECT_EQ(ipam_section(config_of({{"ipam", section}}), ranges), wanted);
    const json own{{"type", "host-local"}, {"subnet", "10.1.0.0/16"}};
    EXPECT_EQ(ipam_section(config_of({{"ipam", own}}), ranges), own);
    const json runtimes{{"ipRanges", json::parse(R"([[{"subnet": "10.1.0.0/16"}]])")}};
    EXPECT_EQ(ipam_section(config_of({{"ipam", section}, {"runtimeConfig", runtimes}}), ranges), section);
}

TEST(CniIpamTest, Configuration_IsCompleteAndInTheVersionOfThePlugin) {
    const auto config = config_of({{"args", {{"a", 1}}},
                                   {"prevResult",
                                    {{"cniVersion", "1.1.0"},
                                     {"interfaces", {{{"name", "eth1"}, {"mtu", 1450}}}},
                                     {"ips", {{{"address", "10.1.0.5/16"}}}}}}});
    const auto for_plugin = ipam_config(config, {}, version_0_4_0);
    EXPECT_EQ(for_plugin["cniVersion"], "0.4.0");
    EXPECT_EQ(for_plugin["name"], "podlane");
    EXPECT_EQ(for_plugin["args"], json({{"a", 1}}));
    EXPECT_EQ(for_plugin["ipam"]["type"], "host-local");
    EXPECT_EQ(for_plugin["prevResult"], json::parse(R"({"cniVersion": "0.4.0", "interfaces": [{"name": "eth1"}],
                                                        "ips": [{"address": "10.1.0.5/16", "version": "4"}]})"));
}

TEST(CniIpamTest, ErrorOfThePlugin_IsPassedOnWithItsName) {
    const auto failure = ipam_failure("host-local", 1, R"({"code": 11, "msg": "no addresses", "details": "in set 0"})");
    EXPECT_EQ(failure, (Failure{11, "host-local: no addresses", "in set 0"}));
}

TEST(CniIpamTest, PluginWithoutErrorObject_IsReportedWithWhatItPrinted) {
    const auto failure = ipam_failure("host-local", 2, "panic: oops");
    EXPECT_EQ(failure, (Failure{100, "host-local failed with exit status 2 and no error object", "panic: oops"}));
    EXPECT_EQ(ipam_failure("host-local", 1, R"({"code": 0, "msg": "x"})").code, 100U);
}

TEST(CniIpamTest, PluginThatIsNotOnThePath_IsAnErrorThatNamesIt) {
    const auto config = config_of({{"ipam", {{"type", "nowhere"}}}});
    Invocation invocation;
    invocation.path = {"/nonexistent"};
    invocation.environment = {{"CNI_PATH", "/nonexistent"}};
    const auto removed = PluginIpam(invocation, config).remove({"c1", "eth0", ""});
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error(), (Failure{7, "IPAM plugin nowhere is not on CNI_PATH (/nonexistent)", ""}));
}

TEST(CniIpamTest, Holders_AreReadFromHostLocalsStore) {
    const auto folder = std::filesystem::temp_directory_path() / fmt::format("podlane-ipam-{}", ::getpid());
    std::filesystem::create_directories(folder / "podlane");
    std::ofstream(folder / "podlane" / "10.244.1.2") << "c1\r\neth0";
    std::ofstream(folder / "podlane" / "10.244.1.3") << "../c2\r\neth0";
    std::ofstream(folder / "podlane" / "10.244.1.4") << "torn";
    std::ofstream(folder / "podlane" / "last_reserved_ip.0") << "10.244.1.4";
    std::ofstream(folder / "podlane" / "lock") << "";
    const auto config = config_of({{"ipam", {{"type", "host-local"}, {"dataDir", folder.string()}}}});
    const Invocation invocation;
    const auto holders = PluginIpam(invocation, config).holders();
    std::filesystem::remove_all(folder);
    ASSERT_EQ(holders.size(), 1U);
    EXPECT_EQ(holders[0].container_id, "c1");
    EXPECT_EQ(holders[0].if_name, "eth0");
}

TEST(CniProcessTest, Program_GetsInputAndEnvironmentAndNothingElse) {
    const std::string input(200'000, 'x');
    const auto echoed = run_process("/bin/cat", {}, input, 10s);
    ASSERT_TRUE(echoed) << echoed.error().message;
    EXPECT_EQ(echoed->exit_status, 0);
    EXPECT_EQ(echoed->standard_output, input);
    const auto environment = run_process("/usr/bin/env", {{"CNI_COMMAND", "ADD"}}, "", 10s);
    ASSERT_TRUE(environment) << environment.error().message;
    EXPECT_EQ(environment->standard_output, "CNI_COMMAND=ADD\n");
}

TEST(CniProcessTest, EndOfTheProgram_IsReported) {
    EXPECT_EQ(run_process("/bin/false", {}, "", 10s)->exit_status, 1);
    EXPECT_EQ(run_process("/nonexistent", {}, "", 10s).error().code, ENOENT);
}

TEST(CniProcessTest, ProgramThatHangs_IsEndedInTime) {
    const auto started = std::chrono::steady_clock::now();
    const auto hung = run_process("/bin/sh", {{"PATH", "/bin:/usr/bin"}}, "exec sleep 20", 300ms);
    ASSERT_FALSE(hung);
    EXPECT_EQ(hung.error().code, ETIMEDOUT);
    EXPECT_LT(std::chrono::steady_clock::now() - started, 10s);
}

TEST(CniProcessTest, ProgramThatFloods_IsEnded) {
    const auto flood = run_process("/usr/bin/yes", {}, "", 10s);
    ASSERT_FALSE(flood);
    EXPECT_NE(flood.error().message.find("MiB"), std::string::npos);
}

}  // namespace
}  // namespace podlane::cni
