// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/cni_results.h"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace podlane::migrate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::json;

std::string recorded() {
    std::ifstream file(PODLANE_TEST_DATA "/cni-results/cbr0-podlane-c1-eth0");
    return {std::istreambuf_iterator<char>(file), {}};
}

// The recorded one, changed.
Json sample() {
    return Json::parse(recorded());
}

CniAttachment wanted() {
    return {.container_id = "podlane-c1",
            .if_name = "eth0",
            .network = "cbr0",
            .netns = "/proc/56/ns/net",
            .name_space = "",
            .name = "",
            .uid = "",
            .host_interface = "veth479ceb28",
            .mac = MacAddress::parse("92:d1:47:e9:96:05").value(),
            .ip = Ipv4Address::parse("10.244.1.2").value(),
            .gateway = Ipv4Address::parse("10.244.1.1").value()};
}

std::string problem_of(const Json& json) {
    const auto result = parse_cni_result(json.dump());
    return result ? "no problem" : result.error().message;
}

TEST(CniCachedResultTest, FileOfContainerd_IsTheAttachment) {
    EXPECT_EQ(parse_cni_result(recorded()).value(), wanted());
}

TEST(CniCachedResultTest, ContainerOfAKubelet_HasItsPodAndTheNamespacesOwnPath) {
    auto json = sample();
    json["cniArgs"] = Json::parse(R"([["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "db-0"],
                                      ["K8S_POD_INFRA_CONTAINER_ID", "abc"], ["K8S_POD_UID", "5d6f"]])");
    json["netns"] = "/var/run/netns/cni-1";
    auto pod = wanted();
    pod.name_space = "shop";
    pod.name = "db-0";
    pod.uid = "5d6f";
    pod.netns = "/var/run/netns/cni-1";
    EXPECT_EQ(parse_cni_result(json.dump()).value(), pod);
}

TEST(CniCachedResultTest, ContainerWithTwoInterfaces_GivesTheOneThatTheFileIsAbout) {
    auto json = sample();
    auto& interfaces = json["result"]["interfaces"];
    interfaces.push_back({{"name", "veth99"}, {"mac", "02:00:00:00:00:98"}});
    interfaces.push_back({{"name", "net1"}, {"mac", "02:00:00:00:00:99"}, {"sandbox", "/proc/56/ns/net"}});
    json["result"]["ips"].push_back({{"address", "10.9.0.2/24"}, {"interface", 4}});
    EXPECT_EQ(parse_cni_result(json.dump()).value(), wanted());
    json["ifName"] = "net1";
    auto other = wanted();
    other.if_name = "net1";
    other.host_interface = "veth99";
    other.mac = MacAddress::parse("02:00:00:00:00:99").value();
    other.ip = Ipv4Address::parse("10.9.0.2").value();
    other.gateway = std::nullopt;
    EXPECT_EQ(parse_cni_result(json.dump()).value(), other);
}

TEST(CniCachedResultTest, Ipv6BesideIpv4_IsRememberedAndAnAddressWithoutInterfaceIsIts) {
    auto json = sample();
    json["result"]["ips"] = Json::parse(R"([{"address": "fd00::2/64", "gateway": "fd00::1", "interface": 2},
                                            {"address": "10.244.1.2/24", "gateway": "10.244.1.1"}])");
    auto pod = wanted();
    pod.has_ipv6 = true;
    EXPECT_EQ(parse_cni_result(json.dump()).value(), pod);
}

TEST(CniCachedResultTest, LinkLocalIpv6AndThatOfAnotherInterface_AreNoneOfThePods) {
    auto json = sample();
    json["result"]["ips"] = Json::parse(R"([{"address": "10.244.1.2/24", "gateway": "10.244.1.1", "interface": 2},
                                            {"address": "fe80::2/64", "interface": 2},
                                            {"address": "fd00::2/64", "interface": 4}])");
    EXPECT_EQ(parse_cni_result(json.dump()).value(), wanted());
}

TEST(CniCachedResultTest, WhatCannotBeTakenOver_SaysWhy) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({"kind": "other"})", "kind: not \"cniCacheV1\", libcni's own form"},
        {R"({"kind": null})", "kind: not \"cniCacheV1\", libcni's own form"},
        {R"({"containerId": null})", "containerId: is missing"},
        {R"({"networkName": 1})", "networkName: not a text"},
        {R"({"cniArgs": [["K8S_POD_NAME"]]})", "cniArgs: not a list of pairs of texts"},
        {R"({"cniArgs": "K8S_POD_NAME=a"})", "cniArgs: not a list of pairs of texts"},
        {R"({"result": null})", "result: is missing"},
        {R"({"result": []})", "result: not an object"},
        {R"({"result": {"interfaces": {}}})", "result.interfaces: not a list"},
        {R"({"result": {"interfaces": null}})", "result.interfaces: none is eth0 in a sandbox"},
        {R"({"ifName": "net1"})", "result.interfaces: none is net1 in a sandbox"},
        {R"({"result": {"interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/proc/1/ns/net"}]}})",
         "result.interfaces: eth0 has no end on the host"},
        {R"({"result": {"interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": "/proc/1/ns/net"}]}})",
         "result.interfaces[1].mac: is missing"},
        {R"({"result": {"ips": [{"address": "fd00::2/64", "interface": 2}]}})",
         "result.ips: eth0 has 0 IPv4 addresses, not one"},
        {R"({"result": {"ips": [{"address": "10.1.1.1/24"}, {"address": "10.1.1.2/24"}]}})",
         "result.ips: eth0 has 2 IPv4 addresses, not one"},
        {R"({"result": {"ips": [{"address": "10.1.1.1"}]}})",
         "result.ips[0].address: \"10.1.1.1\" is not an IPv4 address with the length of its network"},
        {R"({"result": {"ips": [{"interface": -1}]}})",
         "result.ips[0].interface: not a whole number from 0 to 18446744073709551615"},
    };
    for (const auto& [change, problem] : cases) {
        auto json = sample();
        json.merge_patch(Json::parse(change));
        // A patch takes members away where it says null, and a list as a whole.
        EXPECT_EQ(problem_of(json), problem) << change;
    }
    EXPECT_EQ(problem_of(Json::array()), "the document: not an object");
}

TEST(CniCachedResultTest, FileCutAnywhere_IsAProblemAndNoAttachment) {
    const auto whole = recorded();
    for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
        EXPECT_FALSE(parse_cni_result(whole.substr(0, size))) << size;
    }
}

class CniResultsDirectoryTest : public testing::Test {
protected:
    void SetUp() override {
        std::filesystem::remove_all(directory_);
        std::filesystem::create_directories(directory_);
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }
    void write(const std::string& name, std::string_view text) const { std::ofstream(directory_ / name) << text; }
    [[nodiscard]] std::vector<std::string> containers(const CniResults& results) const {
        std::vector<std::string> ids;
        ids.reserve(results.attachments.size());
        for (const auto& attachment : results.attachments) {
            ids.push_back(attachment.container_id);
        }
        return ids;
    }

    std::filesystem::path directory_ = std::filesystem::path(testing::TempDir()) / "cni-results";
};

TEST_F(CniResultsDirectoryTest, BadFile_IsAProblemWithItsPathAndTheRestHolds) {
    auto other = sample();
    other["containerId"] = "b";
    write("cbr0-b-eth0", other.dump());
    write("cbr0-a-eth0", recorded());
    write("cbr0-c-eth0", recorded().substr(0, 300));
    std::filesystem::create_directory(directory_ / "cbr0-d-eth0");
    const auto results = read_cni_results(directory_, "cbr0");
    EXPECT_THAT(containers(results), ElementsAre("podlane-c1", "b"));
    ASSERT_EQ(results.problems.size(), 2U);
    EXPECT_EQ(results.problems[0].message, (directory_ / "cbr0-c-eth0").string() + ": not valid JSON");
    EXPECT_THAT(results.problems[1].message, HasSubstr("cbr0-d-eth0: not a regular file"));
}

TEST_F(CniResultsDirectoryTest, ResultsOfOtherNetworks_AreNeitherAttachmentsNorProblems) {
    auto other = sample();
    other["networkName"] = "cbr0-lan";
    other["result"]["ips"] = Json::array();
    write("cbr0-lan-a-eth0", other.dump());
    write("lan-a-net1", "half");
    write("cbr0-a-eth0", recorded());
    const auto results = read_cni_results(directory_, "cbr0");
    EXPECT_THAT(containers(results), ElementsAre("podlane-c1"));
    EXPECT_THAT(results.problems, IsEmpty());
}

TEST_F(CniResultsDirectoryTest, DirectoryThatIsNotThere_IsAProblemWithErrno) {
    const auto results = read_cni_results(directory_ / "nosuch", "cbr0");
    EXPECT_THAT(results.attachments, IsEmpty());
    ASSERT_EQ(results.problems.size(), 1U);
    EXPECT_EQ(results.problems[0].code, ENOENT);
}

}  // namespace
}  // namespace podlane::migrate
