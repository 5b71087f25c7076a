// SPDX-License-Identifier: Apache-2.0
#include "agent/source/object_reader.h"

#include <fcntl.h>

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maps/base/fd.h"
#include "test/support/kube_api_fixture.h"

namespace podlane {
namespace {

using test::kube_api_body;
using test::kube_api_text;
using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

ReadOptions options(TextFormat format = TextFormat::detect) {
    return {.name = "state", .node_name = "n1", .format = format};
}

ReadObjects read_good(std::string_view text, TextFormat format = TextFormat::detect) {
    auto objects = read_objects(text, options(format));
    EXPECT_TRUE(objects.has_value()) << (objects ? "" : objects.error().message);
    return objects ? std::move(*objects) : ReadObjects{};
}

std::string error_of(std::string_view text, TextFormat format = TextFormat::detect) {
    const auto objects = read_objects(text, options(format));
    return objects ? "no error" : objects.error().message;
}

template <typename Object>
std::vector<Object> without_origins(std::vector<Object> objects) {
    for (auto& object : objects) {
        object.origin.clear();
    }
    return objects;
}

// NOLINTNEXTLINE(readability-identifier-naming): reads like googletest's own matchers
MATCHER_P(Named, name, "") {
    return arg.name == name;
}

// ---- what kubectl prints

TEST(ObjectReaderTest, KubectlYamlAndJson_GiveTheSameObjects) {
    const auto yaml = read_good(kube_api_text("h-kubectl-get-nodes-pods.yaml"));
    const auto json = read_good(kube_api_text("h-kubectl-get-nodes-pods.json"));
    EXPECT_EQ(without_origins(yaml.nodes), without_origins(json.nodes));
    EXPECT_EQ(without_origins(yaml.pods), without_origins(json.pods));
    EXPECT_EQ(yaml.pods_elsewhere, json.pods_elsewhere);
    EXPECT_THAT(yaml.nodes, ElementsAre(Named("n1"), Named("n2"), Named("n3"), Named("n4")));
    EXPECT_THAT(yaml.warnings, IsEmpty());
    EXPECT_THAT(json.warnings, IsEmpty());
}

TEST(ObjectReaderTest, KubectlNode_IsReadCompletely) {
    const auto objects = read_good(kube_api_text("h-kubectl-get-node-n1.yaml"));
    ASSERT_THAT(objects.nodes, SizeIs(1));
    const NodeObject& node = objects.nodes.front();
    EXPECT_EQ(node.name, "n1");
    EXPECT_THAT(node.pod_cidrs, ElementsAre("10.244.0.0/24"));
    EXPECT_THAT(node.internal_ips, ElementsAre("192.168.56.11"));
    EXPECT_FALSE(node.deleting);
    EXPECT_EQ(node.origin, "state:1");
    EXPECT_THAT(node.annotations,
                ElementsAre(Pair("flannel.alpha.coreos.com/backend-data", R"({"VNI":1,"VtepMAC":"0e:61:06:ff:7a:01"})"),
                            Pair("flannel.alpha.coreos.com/backend-type", "vxlan"),
                            Pair("flannel.alpha.coreos.com/kube-subnet-manager", "true"),
                            Pair("flannel.alpha.coreos.com/public-ip", "192.168.56.11")));
}

TEST(ObjectReaderTest, KubectlPods_OnlyThoseOfThisNodeAreKept) {
    const auto objects = read_good(kube_api_text("h-kubectl-get-nodes-pods.yaml"));
    EXPECT_THAT(objects.pods, SizeIs(7));
    EXPECT_EQ(objects.pods_elsewhere, 4U);
    for (const auto& pod : objects.pods) {
        EXPECT_EQ(pod.node_name, "n1") << pod.name;
    }
}

TEST(ObjectReaderTest, ExternalIp_IsNotAnInternalIp) {
    const auto objects = read_good(kube_api_text("h-kubectl-get-nodes-pods.json"));
    EXPECT_THAT(objects.nodes[1].internal_ips, ElementsAre("192.168.56.22"));
}

TEST(ObjectReaderTest, ApiServersPodList_GivesItsItemsTheKindOfTheList) {
    const auto body = kube_api_body("j-pods-limit500-page1.response.gz");
    const auto probe = read_good(body);
    EXPECT_EQ(probe.pods.size() + probe.pods_elsewhere, 500U);
    EXPECT_THAT(probe.warnings, IsEmpty());
}

TEST(ObjectReaderTest, LargeRecordedList_ReadsAlikeAsAFileInBlocks) {
    const auto body = kube_api_body("j-pods-limit500-page1.response.gz");
    const std::string path = testing::TempDir() + "podlane_object_reader_test.json";
    {
        std::ofstream(path, std::ios::binary) << body;
    }
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ReadOptions of_a_node = options();
    of_a_node.node_name = "w0001";
    const auto from_text = read_objects(body, of_a_node);
    const auto from_file = read_objects_from_file(fd.get(), of_a_node);
    unlink(path.c_str());
    ASSERT_TRUE(from_text && from_file);
    EXPECT_EQ(from_text->pods, from_file->pods);
    EXPECT_EQ(from_text->pods_elsewhere, from_file->pods_elsewhere);
}

TEST(ObjectReaderTest, OddNodes_YamlAndJsonGiveTheSame) {
    const auto yaml = read_good(kube_api_text("k-nodes-odd.yaml"));
    const auto json = read_good(kube_api_text("k-nodes-odd.json"));
    EXPECT_THAT(json.nodes, SizeIs(24));
    EXPECT_EQ(without_origins(yaml.nodes), without_origins(json.nodes));
    EXPECT_EQ(json.nodes[7].origin, "state: items[7]") << "all of it is on one line";
}

TEST(ObjectReaderTest, DualStack_AllAddressesInOrder) {
    const auto nodes = read_good(kube_api_text("k-dual-stack-nodes.json")).nodes;
    ASSERT_FALSE(nodes.empty());
    EXPECT_THAT(nodes[0].pod_cidrs, SizeIs(2));
    ReadOptions of_node = options();
    of_node.node_name = "dual-2";
    const auto pods = read_objects(kube_api_text("k-dual-stack-pods-dual-2.json"), of_node);
    ASSERT_TRUE(pods.has_value());
    ASSERT_THAT(pods->pods, SizeIs(1));
    EXPECT_THAT(pods->pods[0].pod_ips, SizeIs(2));
}

// ---- forms of text

constexpr std::string_view node_json =
    R"({"kind":"Node","apiVersion":"v1","metadata":{"name":"n1"},"spec":{"podCIDR":"10.244.1.0/24"},)"
    R"("status":{"addresses":[{"type":"InternalIP","address":"192.168.0.8"}]}})";

TEST(ObjectReaderTest, PodCidrAlone_CountsWherePodCidrsIsAbsent) {
    EXPECT_THAT(read_good(node_json).nodes[0].pod_cidrs, ElementsAre("10.244.1.0/24"));
}

TEST(ObjectReaderTest, SeveralJsonValues_AreSeveralDocuments) {
    const auto text = std::string(node_json) + "\n" + std::string(node_json);
    EXPECT_THAT(read_good(text).nodes, SizeIs(2));
}

TEST(ObjectReaderTest, SeveralYamlDocuments_WithEmptyOnesBetween) {
    const auto objects = read_good(R"(# a comment
---
kind: Node
metadata: {name: n1}
---
---
# nothing
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default}
spec: {nodeName: n1}
...
)");
    EXPECT_THAT(objects.nodes, ElementsAre(AllOf(Named("n1"), Field(&NodeObject::origin, "state:3"))));
    EXPECT_THAT(objects.pods, ElementsAre(Named("p")));
}

TEST(ObjectReaderTest, JsonEscapes_AreResolved) {
    const auto objects = read_good(
        R"({"kind":"Pod","metadata":{"name":"a-\u0062","namespace":"x\/y","annotations":{"podlane.io/\u006eote":"\ud83d\ude00\u2028\"\\"}},)"
        R"("spec":{"nodeName":"n1"}})");
    EXPECT_THAT(objects.pods, IsEmpty()) << "a slash in a namespace";
    const auto good = read_good(
        R"({"kind":"Pod","metadata":{"name":"a-\u0062","annotations":{"podlane.io/\u006eote":"\ud83d\ude00\u2028\"\\"}},)"
        R"("spec":{"nodeName":"n1"}})");
    ASSERT_THAT(good.pods, ElementsAre(Named("a-b")));
    EXPECT_THAT(good.pods[0].annotations, ElementsAre(Pair("podlane.io/note", "😀\xe2\x80\xa8\"\\")));
}

TEST(ObjectReaderTest, YamlFlowStyle_IsNotMistakenForBrokenJson) {
    const auto objects = read_good("{kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.1.0/24]}}\n");
    ASSERT_THAT(objects.nodes, ElementsAre(Named("n1")));
    EXPECT_THAT(objects.nodes[0].pod_cidrs, ElementsAre("10.244.1.0/24"));
}

TEST(ObjectReaderTest, ByteOrderMark_IsSkipped) {
    EXPECT_THAT(read_good("\xef\xbb\xbf" + std::string(node_json)).nodes, SizeIs(1));
    EXPECT_THAT(read_good("\xef\xbb\xbfkind: Node\nmetadata: {name: n1}\n").nodes, SizeIs(1));
}

TEST(ObjectReaderTest, YamlAliases_StandForWhatTheyName) {
    const auto objects = read_good(R"(kind: List
items:
- kind: Node
  metadata: {name: &one n1, annotations: &notes {podlane.io/a: x, other: [1, {b: 2}]}}
  spec: {podCIDR: &cidr 10.244.1.0/24, podCIDRs: &list [*cidr]}
- kind: Node
  metadata: {name: n2, annotations: *notes}
  spec: {podCIDRs: *list}
)");
    ASSERT_THAT(objects.nodes, SizeIs(2));
    EXPECT_THAT(objects.nodes[1].annotations, ElementsAre(Pair("podlane.io/a", "x")));
    EXPECT_THAT(objects.nodes[1].pod_cidrs, ElementsAre("10.244.1.0/24"));
}

TEST(ObjectReaderTest, QuotedNull_IsTextAndPlainNullIsNothing) {
    const auto objects = read_good(R"(kind: List
items:
- {kind: Pod, metadata: {name: "null", namespace: null}, spec: {nodeName: n1}, status: null}
- {kind: Pod, metadata: {name: p, namespace: 'true', annotations: ~}, spec: {nodeName: "n1", hostNetwork: True}}
)");
    ASSERT_THAT(objects.pods, ElementsAre(Named("null"), Named("p")));
    EXPECT_EQ(objects.pods[0].name_space, "default");
    EXPECT_EQ(objects.pods[1].name_space, "true");
    EXPECT_TRUE(objects.pods[1].host_network);
}

TEST(ObjectReaderTest, KeysOfManagedFields_DoNotDisturb) {
    const auto objects = read_good(R"(kind: Node
metadata:
  managedFields:
  - fieldsV1:
      f:spec:
        .: {}
        v:"10.244.0.0/24": {}
      f:status:
        k:{"type":"Ready"}:
          name: not-the-name
  name: n1
)");
    EXPECT_THAT(objects.nodes, ElementsAre(Named("n1")));
}

TEST(ObjectReaderTest, KindAfterItems_StillTellsWhatTheyAre) {
    const auto objects = read_good(
        R"({"items":[{"metadata":{"name":"p"},"spec":{"nodeName":"n1"}},{"metadata":{"name":"q"},"spec":{"nodeName":"n2"}}],)"
        R"("kind":"PodList","apiVersion":"v1"})");
    EXPECT_THAT(objects.pods, ElementsAre(Named("p")));
    EXPECT_EQ(objects.pods_elsewhere, 1U);
}

TEST(ObjectReaderTest, OtherKinds_AreSkippedWhateverTheyHold) {
    const auto objects = read_good(R"(kind: ConfigMap
data: {kind: Node}
spec: 5
---
kind: NodeMetricsList
items: [{kind: Node, metadata: {name: not-me}}]
---
apiVersion: metrics.k8s.io/v1beta1
kind: Node
metadata: {name: not-me-either}
)");
    EXPECT_THAT(objects.nodes, IsEmpty());
    EXPECT_THAT(objects.warnings, IsEmpty());
    EXPECT_EQ(objects.other_kinds, 3U);
}

TEST(ObjectReaderTest, EmptyList_IsGood) {
    EXPECT_THAT(read_good(R"({"kind":"NodeList","apiVersion":"v1","metadata":{},"items":[]})").nodes, IsEmpty());
    EXPECT_THAT(read_good(R"({"kind":"NodeList","apiVersion":"v1","metadata":{},"items":null})").nodes, IsEmpty());
}

TEST(ObjectReaderTest, Terminating_IsNoticed) {
    const auto objects =
        read_good("kind: Node\nmetadata:\n  name: n1\n  deletionTimestamp: \"2026-11-21T23:05:25Z\"\n");
    ASSERT_THAT(objects.nodes, SizeIs(1));
    EXPECT_TRUE(objects.nodes[0].deleting);
}

// ---- objects that are bad alone

struct BadObject {
    std::string_view name;
    std::string_view text;
    std::string_view warning;
};

class BadObjectTest : public testing::TestWithParam<BadObject> {};

TEST_P(BadObjectTest, IsLeftOutWithAWarningAndTheRestHolds) {
    const auto text =
        fmt::format("kind: List\nitems:\n- {}\n- {{kind: Node, metadata: {{name: good}}}}\n", GetParam().text);
    const auto objects = read_good(text);
    EXPECT_THAT(objects.nodes, ElementsAre(Named("good")));
    EXPECT_THAT(objects.pods, IsEmpty());
    ASSERT_THAT(objects.warnings, SizeIs(1));
    EXPECT_EQ(objects.warnings[0].to_string(), GetParam().warning);
}

const auto bad_objects = std::to_array<BadObject>({
    {"number_for_list", "{kind: Node, metadata: {name: n1}, spec: {podCIDRs: 5}}",
     "node n1: spec.podCIDRs: must be a list, not a number (state:3)"},
    {"number_in_list", "{kind: Node, metadata: {name: n1}, spec: {podCIDRs: [7]}}",
     "node n1: spec.podCIDRs: must be text, not a number (state:3)"},
    {"null_in_list", "{kind: Node, metadata: {name: n1}, spec: {podCIDRs: [null]}}",
     "node n1: spec.podCIDRs: must be text, not null (state:3)"},
    {"list_for_text", "{kind: Node, metadata: {name: n1}, spec: {podCIDR: [x]}}",
     "node n1: spec.podCIDR: must be text, not a list (state:3)"},
    {"text_for_object", "{kind: Node, metadata: {name: n1}, spec: x}",
     "node n1: spec: must be an object, not text (state:3)"},
    {"number_for_name", "{kind: Node, metadata: {name: 5}}",
     "node : metadata.name: must be text, not a number (state:3)"},
    {"no_name", "{kind: Node}", "node : metadata.name: is missing (state:3)"},
    {"line_break_in_name", R"({kind: Node, metadata: {name: "a\nb"}})",
     "node a?b: metadata.name: is not a name that Kubernetes allows (state:3)"},
    {"address_not_object", "{kind: Node, metadata: {name: n1}, status: {addresses: [x]}}",
     "node n1: status.addresses: must be an object, not text (state:3)"},
    {"annotation", "{kind: Node, metadata: {name: n1, annotations: {podlane.io/x: 5, other: 6}}}",
     "node n1: metadata.annotations[podlane.io/x]: must be text, not a number (state:3)"},
    {"flag", "{kind: Pod, metadata: {name: p}, spec: {nodeName: n1, hostNetwork: maybe}}",
     "pod default/p: spec.hostNetwork: must be true or false, not text (state:3)"},
    {"node_name", "{kind: Pod, metadata: {name: p}, spec: {nodeName: [n1]}}",
     "pod default/p: spec.nodeName: must be text, not a list (state:3)"},
    {"item", "just text", "item 0: items: must be an object, not text (state:3)"},
    {"no_kind", "{metadata: {name: x}}", "item 0: kind: is missing (state:3)"},
});

INSTANTIATE_TEST_SUITE_P(Forms, BadObjectTest, testing::ValuesIn(bad_objects),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(ObjectReaderTest, WrongTypeInAFieldOfAnotherKind_DoesNotMatter) {
    EXPECT_THAT(read_good("{kind: Node, metadata: {name: n1}, spec: {hostNetwork: 5, nodeName: []}}").nodes, SizeIs(1));
}

TEST(ObjectReaderTest, WrongTypeInAPodOfAnotherNode_IsNotOurs) {
    const auto objects = read_good("{kind: Pod, metadata: {name: p}, spec: {nodeName: n2, hostNetwork: 5}}");
    EXPECT_THAT(objects.warnings, IsEmpty());
    EXPECT_EQ(objects.pods_elsewhere, 1U);
}

// ---- texts that are bad as a whole

struct BadText {
    std::string_view name;
    std::string_view text;
    std::string_view message;  // a part of it
};

class BadTextTest : public testing::TestWithParam<BadText> {};

TEST_P(BadTextTest, IsAnErrorWithFileAndLine) {
    EXPECT_THAT(error_of(GetParam().text), HasSubstr(GetParam().message));
}

const auto bad_texts = std::to_array<BadText>({
    {"empty", "", "state:1: the file is empty"},
    {"only_comments", "# nothing\n---\n", "state:1: the file is empty"},
    {"json_cut", "{\"kind\":\"List\",\n\"items\":[\n{\"kind\":\"Node\"", "state:3: not valid JSON: "},
    {"json_garbage", "{\"kind\":\"Node\",\n\"metadata\":{\"name\":\"n1\"}}\n}", "state:3: not valid JSON: "},
    {"yaml_indentation", "kind: Node\nmetadata:\n  name: n1\n spec: {}\n", "state:4: not valid YAML: "},
    {"yaml_tab", "kind: Node\n\tmetadata: {}\n", "state:2: not valid YAML: "},
    {"yaml_quote", "kind: Node\nmetadata: {name: \"n1}\n", "not valid YAML: "},
    {"yaml_control", "kind: Node\nmetadata: {name: \"\x01\"}\n", "state:2: not valid YAML: control characters"},
    {"merge_key", "kind: Node\nmetadata: {<<: {name: n1}}\n", "state:2: not usable YAML: the merge key"},
    {"unknown_alias", "kind: *what\n", "state:1: not usable YAML: *what has no anchor"},
    {"alias_to_itself", "kind: Node\nmetadata: &m {name: n1, x: *m}\n", "not usable YAML: *m has no anchor"},
    {"map_as_key", "kind: Node\n? {a: b}\n: c\n", "state:2: not usable YAML: a key must be plain text"},
    {"no_kind", "apiVersion: v1\nmetadata: {name: n1}\n", "state:1: there is no kind"},
    {"cut_before_kind", "apiVersion: v1\nitems:\n- kind: Node\n  metadata: {name: n1}\n",
     "state:1: there is no kind: not a Kubernetes object, or cut off"},
    {"cut_after_kind", "apiVersion: v1\nkind: NodeList\n", "state:1: NodeList without items"},
    {"cut_after_items", "apiVersion: v1\nkind: NodeList\nitems:\n", "items has no value"},
    {"items_number", "kind: List\nitems: 5\n", "state:2: items must be a list, not a number"},
    {"array", R"([{"kind":"Node"}])", "state:1: a list is no Kubernetes object"},
    {"text", "hello\n", "state:1: a plain value is no Kubernetes object"},
});

INSTANTIATE_TEST_SUITE_P(Forms, BadTextTest, testing::ValuesIn(bad_texts),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(ObjectReaderTest, AliasesThatBlowUp_AreRefused) {
    std::string text = "kind: Node\nx:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    for (int i = 1; i < 10; ++i) {
        const auto alias = fmt::format("*a{}", i - 1);
        text += fmt::format("  a{}: &a{} [{}]\n", i, i, fmt::join(std::vector(10, alias), ", "));
    }
    EXPECT_THAT(error_of(text), HasSubstr("not usable YAML"));
}

TEST(ObjectReaderTest, DeepNesting_IsNoDanger) {
    constexpr std::size_t depth = 100'000;
    const std::string json =
        R"({"kind":"Node","metadata":{"name":"n1"},"x":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
    EXPECT_THAT(read_good(json, TextFormat::json).nodes, SizeIs(1));
    EXPECT_THAT(error_of("kind: Node\nx: " + std::string(depth, '[')), HasSubstr("more than 10000 brackets are open"));
    EXPECT_THAT(error_of("kind: Node\nx: " + std::string(2000, '[')), HasSubstr("not valid YAML"));
}

TEST(ObjectReaderTest, EveryPrefixOfKubectlsJson_IsRefused) {
    const auto text = kube_api_text("h-kubectl-get-nodes-pods.json");
    const auto end = text.rfind('}');
    for (std::size_t size = 0; size <= end; size += 997) {
        EXPECT_FALSE(read_objects(std::string_view(text).substr(0, size), options()).has_value()) << size;
    }
}

TEST(ObjectReaderTest, EveryPrefixOfKubectlsYaml_IsRefused) {
    const auto text = kube_api_text("h-kubectl-get-nodes-pods.yaml");
    const auto end = text.rfind("kind: List");
    for (std::size_t size = 0; size <= end; size += 499) {
        EXPECT_FALSE(read_objects(std::string_view(text).substr(0, size), options()).has_value()) << size;
    }
}

}  // namespace
}  // namespace podlane
