// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/plugin.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace podlane::cni {
namespace {

using nlohmann::json;

Response run(const Environment& environment, const std::string& input) {
    return run_plugin(environment, [&]() -> Result<std::string> { return input; });
}

json error_of(const Response& response) {
    EXPECT_EQ(response.exit_status, 1);
    return json::parse(response.standard_output);
}

TEST(CniPluginTest, Version_ListsWhatIsSpokenInTheVersionOfTheQuestion) {
    for (const char* const version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
        const auto response = run({{"CNI_COMMAND", "VERSION"}}, json{{"cniVersion", version}}.dump());
        EXPECT_EQ(response.exit_status, 0);
        EXPECT_EQ(json::parse(response.standard_output),
                  json({{"cniVersion", version}, {"supportedVersions", {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}}}));
    }
}

TEST(CniPluginTest, VersionWithoutUsableInput_AnswersInTheNewest) {
    for (const char* const input : {"", "{}", "junk", R"({"cniVersion": "7.0.0"})"}) {
        const auto response = run({{"CNI_COMMAND", "VERSION"}}, input);
        EXPECT_EQ(response.exit_status, 0);
        EXPECT_EQ(json::parse(response.standard_output)["cniVersion"], "1.1.0");
    }
}

TEST(CniPluginTest, Errors_AreInTheVersionOfTheConfiguration) {
    const Environment environment{{"CNI_COMMAND", "STATUS"}, {"CNI_PATH", "/nonexistent"}};
    EXPECT_EQ(error_of(run(environment, R"({"cniVersion": "0.4.0", "name": "p"})")),
              json({{"cniVersion", "0.4.0"}, {"code", 1}, {"msg", "cniVersion 0.4.0 has no STATUS"}}));
    const auto unsupported = error_of(run(environment, R"({"cniVersion": "0.2.0", "name": "p"})"));
    EXPECT_EQ(unsupported["cniVersion"], "1.1.0");
    EXPECT_EQ(unsupported["code"], 1);
    EXPECT_EQ(error_of(run(environment, "{"))["code"], 6);
    EXPECT_EQ(error_of(run({}, ""))["code"], 4);
}

TEST(CniPluginTest, InputThatCannotBeRead_IsCode5) {
    const Environment environment{{"CNI_COMMAND", "STATUS"}, {"CNI_PATH", "/nonexistent"}};
    const auto response = run_plugin(environment, []() -> Result<std::string> { return fail_errno(EIO, "read"); });
    EXPECT_EQ(error_of(response)["code"], 5);
}

TEST(CniPluginTest, StatusWithoutAnAgent_IsCode50) {
    const Environment environment{{"CNI_COMMAND", "STATUS"}, {"CNI_PATH", "/nonexistent"}};
    const auto error = error_of(run(environment, R"({"cniVersion": "1.1.0", "name": "p", "runDir": "/nonexistent"})"));
    EXPECT_EQ(error["code"], 50);
    EXPECT_NE(error["msg"].get<std::string>().find("/nonexistent/agent.sock"), std::string::npos);
}

}  // namespace
}  // namespace podlane::cni
