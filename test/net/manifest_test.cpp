// SPDX-License-Identifier: Apache-2.0
// deploy/podlane.yaml and its overlays against what the programs do. Network: one namespace, with an API server for
// what the agent asks; see kube_api_scene.h.
#include "test/net/manifests.h"

#include <algorithm>
#include <regex>

#include <nlohmann/json.hpp>

#include "test/net/harness/process.h"
#include "test/net/harness/sandbox.h"
#include "test/net/kube_api_scene.h"

namespace podlane::net {
namespace {

using testing::ElementsAre;

class ManifestTest : public testing::Test {
protected:
    [[nodiscard]] Completed check_config(const Manifest& manifest) const {
        const auto text = manifest.of_kind("ConfigMap")["data"]["agent.yaml"].as<std::string>();
        write_file_atomically(files_.path() / "agent.yaml", text);
        return run(ns_,
                   {(program_dir() / "podlane-agent").string(), "--config", (files_.path() / "agent.yaml").string(),
                    "--check-config"},
                   {.input = "", .environment = {"NODE_NAME=n1"}});
    }

    Namespace ns_{"manifest"};
    TempDir files_{"manifest"};
    Manifest base_{"podlane.yaml"};
};

TEST_F(ManifestTest, Yamllint_FindsNothing) {
    const auto linted =
        run(ns_, {"yamllint", "--strict", "-c", (deploy_dir() / "yamllint.yaml").string(), deploy_dir().string()});
    EXPECT_EQ(linted.status, 0) << linted.describe();
}

TEST_F(ManifestTest, AgentsConfiguration_PassesItsOwnCheck) {
    for (const auto* name : {"podlane.yaml", "overlays/flannel/flannel.yaml"}) {
        const auto checked = check_config(Manifest(name));
        EXPECT_EQ(checked.status, 0) << name << ": " << checked.describe();
    }
    EXPECT_EQ(YAML::Load(Manifest("overlays/flannel/flannel.yaml")
                             .of_kind("ConfigMap")["data"]["agent.yaml"]
                             .as<std::string>())["overlay"]["flannel"]
                  .as<bool>(),
              true);
}

TEST_F(ManifestTest, CniConfiguration_NamesPodlaneFirst) {
    const auto text = base_.of_kind("ConfigMap")["data"]["05-podlane.conflist"].as<std::string>();
    const auto parsed = nlohmann::json::parse(text);
    EXPECT_EQ(parsed.at("plugins").at(0), (nlohmann::json{{"type", "podlane"}}));
    EXPECT_EQ(parsed.at("cniVersion"), "1.0.0");
    const auto beside_flannel = nlohmann::json::parse(Manifest("overlays/flannel/flannel.yaml")
                                                          .of_kind("ConfigMap")["data"]["05-podlane.conflist"]
                                                          .as<std::string>());
    EXPECT_EQ(beside_flannel.at("name"), "cbr0");
    EXPECT_EQ(beside_flannel.at("plugins").at(0).at("ipam").at("dataDir"), "/var/lib/cni/networks");
    EXPECT_EQ(beside_flannel.at("plugins").at(1), parsed.at("plugins").at(1));
}

TEST_F(ManifestTest, CniConfiguration_IsTheAgentsToWrite) {
    const auto mounted_at = [&](const std::string& folder) {
        for (const auto& mount : base_.agent()["volumeMounts"]) {
            if (mount["mountPath"].as<std::string>() == folder) {
                return mount["readOnly"].IsDefined() ? "read-only" : "writable";
            }
        }
        return "absent";
    };
    for (const auto* name : {"podlane.yaml", "overlays/flannel/flannel.yaml"}) {
        const auto cni = YAML::Load(Manifest(name).of_kind("ConfigMap")["data"]["agent.yaml"].as<std::string>())["cni"];
        const std::filesystem::path file = cni["configFile"].as<std::string>();
        const std::filesystem::path original = cni["template"].as<std::string>();
        EXPECT_STREQ(mounted_at(file.parent_path()), "writable") << name;
        EXPECT_STREQ(mounted_at(original.parent_path()), "read-only") << name;
        EXPECT_TRUE(base_.of_kind("ConfigMap")["data"][original.filename().string()].IsDefined()) << name;
    }
}

TEST_F(ManifestTest, Images_AreOneOfThisVersion) {
    const std::string image = "podlane:" PODLANE_VERSION;
    EXPECT_EQ(base_.agent()["image"].as<std::string>(), image);
    EXPECT_EQ(base_.init()["image"].as<std::string>(), image);
    std::ifstream dockerfile(deploy_dir() / "Dockerfile");
    const std::string text{std::istreambuf_iterator<char>(dockerfile), {}};
    EXPECT_THAT(text, testing::HasSubstr("-t " + image + " "));
}

TEST_F(ManifestTest, Probes_AskWhereTheAgentListens) {
    const auto config =
        YAML::Load(base_.of_kind("ConfigMap")["data"]["agent.yaml"].as<std::string>())["listen"].as<std::string>();
    const auto address = [](const YAML::Node& probe) {
        return probe["httpGet"]["host"].as<std::string>() + ':' + probe["httpGet"]["port"].as<std::string>();
    };
    EXPECT_EQ(address(base_.agent()["livenessProbe"]), config);
    EXPECT_EQ(address(base_.agent()["readinessProbe"]), config);
    EXPECT_EQ(base_.agent()["livenessProbe"]["httpGet"]["path"].as<std::string>(), "/healthz");
    EXPECT_EQ(base_.agent()["readinessProbe"]["httpGet"]["path"].as<std::string>(), "/readyz");
}

TEST_F(ManifestTest, References_LeadToWhatIsThere) {
    const auto spec = base_.pod_spec();
    std::set<std::string> volumes;
    std::set<std::string> mounts;
    for (const auto& volume : spec["volumes"]) {
        volumes.insert(volume["name"].as<std::string>());
    }
    for (const auto& container : {base_.agent(), base_.init()}) {
        for (const auto& mount : container["volumeMounts"]) {
            mounts.insert(mount["name"].as<std::string>());
        }
    }
    EXPECT_EQ(mounts, volumes);
    const auto daemon_set = base_.of_kind("DaemonSet")["spec"];
    EXPECT_EQ(daemon_set["selector"]["matchLabels"]["app.kubernetes.io/name"].as<std::string>(),
              daemon_set["template"]["metadata"]["labels"]["app.kubernetes.io/name"].as<std::string>());
    const auto account = base_.of_kind("ServiceAccount")["metadata"];
    const auto subject = base_.of_kind("ClusterRoleBinding")["subjects"][0];
    EXPECT_EQ(spec["serviceAccountName"].as<std::string>(), account["name"].as<std::string>());
    EXPECT_EQ(subject["name"].as<std::string>(), account["name"].as<std::string>());
    EXPECT_EQ(subject["namespace"].as<std::string>(), account["namespace"].as<std::string>());
    EXPECT_EQ(base_.of_kind("ClusterRoleBinding")["roleRef"]["name"].as<std::string>(),
              base_.of_kind("ClusterRole")["metadata"]["name"].as<std::string>());
}

TEST_F(ManifestTest, Pods_StayWhereNothingElseCan) {
    const auto spec = base_.pod_spec();
    EXPECT_EQ(spec["priorityClassName"].as<std::string>(), "system-node-critical");
    EXPECT_EQ(spec["hostNetwork"].as<bool>(), true);
    EXPECT_EQ(spec["tolerations"][0]["operator"].as<std::string>(), "Exists");
    EXPECT_FALSE(spec["tolerations"][0]["key"].IsDefined());
    EXPECT_EQ(base_.agent()["env"][0]["valueFrom"]["fieldRef"]["fieldPath"].as<std::string>(), "spec.nodeName");
    for (const auto& container : {base_.agent(), base_.init()}) {
        EXPECT_TRUE(container["securityContext"]["readOnlyRootFilesystem"].as<bool>());
    }
    EXPECT_FALSE(base_.agent()["securityContext"]["privileged"].as<bool>());
    EXPECT_THAT(texts(base_.agent()["securityContext"]["capabilities"]["drop"]), ElementsAre("ALL"));
}

TEST_F(ManifestTest, Overlays_PatchWhatTheBaseHas) {
    for (const auto* name : {"privileged/privileged", "linux-5.10/capabilities", "flannel/flannel"}) {
        const Manifest overlay(fmt::format("overlays/{}.yaml", name));
        for (const auto& patch : overlay.objects()) {
            const auto object = base_.of_kind(patch["kind"].as<std::string>());
            for (const auto* key : {"name", "namespace"}) {
                EXPECT_EQ(patch["metadata"][key].as<std::string>(), object["metadata"][key].as<std::string>()) << name;
            }
            const bool pods = patch["kind"].as<std::string>() == "DaemonSet";
            const auto containers = pods ? patch["spec"]["template"]["spec"]["containers"] : YAML::Node();
            for (const auto& container : containers ? containers : YAML::Node()) {
                EXPECT_EQ(container["name"].as<std::string>(), base_.agent()["name"].as<std::string>()) << name;
            }
        }
    }
    const auto capabilities = Manifest("overlays/linux-5.10/capabilities.yaml").agent()["securityContext"];
    auto wanted = texts(base_.agent()["securityContext"]["capabilities"]["add"]);
    wanted.insert("SYS_RESOURCE");
    EXPECT_EQ(texts(capabilities["capabilities"]["add"]), wanted);
}

TEST_F(ManifestTest, Kustomize_BuildsTheBaseAndEveryOverlay) {
    if (run(ns_, {"kubectl", "version", "--client"}).status != 0) {
        GTEST_SKIP() << "there is no kubectl";
    }
    for (const auto* name : {"base", "overlays/privileged", "overlays/linux-5.10", "overlays/flannel"}) {
        const auto built = run(ns_, {"kubectl", "kustomize", (deploy_dir() / name).string()});
        ASSERT_EQ(built.status, 0) << built.describe();
        EXPECT_EQ(YAML::LoadAll(built.out).size(), base_.objects().size()) << name;
        EXPECT_EQ(built.out.find("capabilities:") == std::string::npos, name == std::string("overlays/privileged"));
    }
}

// "list nodes" of "GET /api/v1/nodes?limit=500 HTTP/1.1".
std::string verb_and_resource(const std::string& request) {
    static const std::regex form("([A-Z]+) /api/v1/([a-z]+)(/[^/ ?]+)?(/status)?([^ ]*) ");
    std::smatch parts;
    if (!std::regex_search(request, parts, form)) {
        return request;
    }
    const bool watch = parts[5].str().find("watch=true") != std::string::npos;
    const std::string reading = watch ? "watch" : parts[3].matched ? "get" : "list";
    return (parts[1] == "GET" ? reading : "patch") + ' ' + parts[2].str() + parts[4].str();
}

class ManifestAccessTest : public KubeApiScene {};

TEST_F(ManifestAccessTest, Rules_GrantWhatTheAgentAsksAndNodesStatus) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("list pods", "e-pods-list-n1");
    std::set<std::string> asked;
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good() && requests("watch=true").size() >= 2; });
        for (const auto& request : requests()) {
            asked.insert(verb_and_resource(request));
        }
    });
    std::set<std::string> granted;
    for (const auto& rule : Manifest("podlane.yaml").of_kind("ClusterRole")["rules"]) {
        EXPECT_THAT(texts(rule["apiGroups"]), ElementsAre(""));
        for (const auto& verb : rule["verbs"]) {
            for (const auto& resource : rule["resources"]) {
                granted.insert(verb.as<std::string>() + ' ' + resource.as<std::string>());
            }
        }
    }
    EXPECT_EQ(granted.erase("patch nodes/status"), 1U);
    EXPECT_EQ(granted, asked);
}

}  // namespace
}  // namespace podlane::net
