// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/environment.h"

#include <gtest/gtest.h>

namespace podlane::cni {
namespace {

Environment complete(const char* command) {
    return {{"CNI_COMMAND", command},
            {"CNI_CONTAINERID", "c1"},
            {"CNI_NETNS", "/run/netns/a"},
            {"CNI_IFNAME", "eth0"},
            {"CNI_PATH", "/opt/cni/bin:/usr/lib/cni"},
            {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web=0"}};
}

TEST(CniEnvironmentTest, CompleteEnvironment_IsTakenApart) {
    const auto invocation = parse_environment(complete("ADD"));
    ASSERT_TRUE(invocation) << invocation.error().message;
    EXPECT_EQ(invocation->command, Command::add);
    EXPECT_EQ(invocation->container_id, "c1");
    EXPECT_EQ(invocation->netns, "/run/netns/a");
    EXPECT_EQ(invocation->if_name, "eth0");
    EXPECT_EQ(invocation->path, (std::vector<std::string>{"/opt/cni/bin", "/usr/lib/cni"}));
    EXPECT_EQ(invocation->args.at("K8S_POD_NAME"), "web=0");
    EXPECT_EQ(invocation->environment, complete("ADD"));
}

struct Requirement {
    const char* command;
    const char* variable;
    bool required;
};

class RequirementTest : public testing::TestWithParam<Requirement> {};

TEST_P(RequirementTest, MissingVariable_IsNamedWithCode4) {
    const auto& [command, variable, required] = GetParam();
    auto environment = complete(command);
    environment.erase(variable);
    const auto invocation = parse_environment(environment);
    EXPECT_EQ(invocation.has_value(), !required);
    if (!invocation) {
        EXPECT_EQ(invocation.error().code, 4U);
        EXPECT_NE(invocation.error().message.find(variable), std::string::npos) << invocation.error().message;
    }
}

INSTANTIATE_TEST_SUITE_P(
    CniEnvironmentTest, RequirementTest,
    testing::Values(Requirement{"ADD", "CNI_COMMAND", true}, Requirement{"ADD", "CNI_CONTAINERID", true},
                    Requirement{"ADD", "CNI_NETNS", true}, Requirement{"ADD", "CNI_IFNAME", true},
                    Requirement{"ADD", "CNI_PATH", true}, Requirement{"ADD", "CNI_ARGS", false},
                    Requirement{"DEL", "CNI_CONTAINERID", true}, Requirement{"DEL", "CNI_NETNS", false},
                    Requirement{"DEL", "CNI_IFNAME", true}, Requirement{"CHECK", "CNI_NETNS", true},
                    Requirement{"GC", "CNI_PATH", true}, Requirement{"GC", "CNI_CONTAINERID", false},
                    Requirement{"STATUS", "CNI_PATH", true}, Requirement{"STATUS", "CNI_IFNAME", false},
                    Requirement{"VERSION", "CNI_PATH", false}));

TEST(CniEnvironmentTest, SeveralMissingVariables_AreAllNamed) {
    const auto invocation = parse_environment({{"CNI_COMMAND", "ADD"}, {"CNI_PATH", "/opt/cni/bin"}});
    ASSERT_FALSE(invocation);
    EXPECT_EQ(invocation.error().message, "ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, not set");
}

TEST(CniEnvironmentTest, InvalidValue_IsNamedWithCode4) {
    const std::pair<const char*, const char*> cases[] = {
        {"CNI_COMMAND", "add"},      {"CNI_CONTAINERID", "../c1"}, {"CNI_CONTAINERID", "-c1"},
        {"CNI_IFNAME", "eth0/../x"}, {"CNI_IFNAME", "."},          {"CNI_IFNAME", "sixteen-letters-"},
        {"CNI_IFNAME", "eth 0"},     {"CNI_ARGS", "novalue"},      {"CNI_ARGS", "=x"}};
    for (const auto& [variable, value] : cases) {
        auto environment = complete("ADD");
        environment[variable] = value;
        const auto invocation = parse_environment(environment);
        ASSERT_FALSE(invocation) << variable << "=" << value;
        EXPECT_EQ(invocation.error().code, 4U);
        EXPECT_NE(invocation.error().message.find(variable), std::string::npos) << invocation.error().message;
    }
}

}  // namespace
}  // namespace podlane::cni
