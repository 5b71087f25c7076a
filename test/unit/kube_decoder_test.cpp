// SPDX-License-Identifier: Apache-2.0
// Recordings of a real API server (test/data/kube-api), in pieces of every kind.
#include "agent/source/kube/decoder.h"

#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/support/kube_api_fixture.h"

namespace podlane {
namespace {

using test::kube_api_body;
using test::kube_api_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Type = WatchEvent::Type;

const DecodeOptions nodes = {.kind = KubeKind::node, .node_name = "n1", .origin = "api"};
const DecodeOptions pods = {.kind = KubeKind::pod, .node_name = "n1", .origin = "api"};

// In pieces of one length, the first one of another.
template <typename Feed>
Result<void> feed_in_pieces(std::string_view text, std::size_t first, std::size_t rest, const Feed& feed) {
    for (std::size_t at = 0; at < text.size();) {
        const auto piece = text.substr(at, at == 0 ? first : rest);
        if (auto fed = feed(piece); !fed) {
            return fed;
        }
        at += piece.size();
    }
    return {};
}

Result<ListPage> decode_list(const DecodeOptions& options, std::string_view text, std::size_t first = 4096,
                             std::size_t rest = std::string::npos) {
    ListDecoder decoder(options);
    auto fed = feed_in_pieces(text, first, rest, [&](std::string_view piece) { return decoder.feed(piece); });
    return fed ? decoder.finish() : Result<ListPage>(std::unexpected(fed.error()));
}

ListPage good_list(const DecodeOptions& options, std::string_view text, std::size_t first = 4096,
                   std::size_t rest = std::string::npos) {
    auto page = decode_list(options, text, first, rest);
    EXPECT_TRUE(page.has_value()) << page.error().message;
    return page ? std::move(*page) : ListPage();
}

std::string list_error(std::string_view text) {
    const auto page = decode_list(nodes, text);
    return page ? "no error" : page.error().message;
}

// Applies events as a client does: what one key has last counts.
struct Replayed {
    std::map<std::string, NodeObject> nodes;
    std::map<std::string, PodObject> pods;
    std::vector<Type> types;
    std::string resource_version;
    std::vector<ObjectHead> errors;

    bool operator==(const Replayed&) const = default;

    void add(const ReadObjects& objects) {
        for (const auto& node : objects.nodes) {
            nodes.insert_or_assign(node.name, node);
        }
        for (const auto& pod : objects.pods) {
            pods.insert_or_assign(pod.name_space + '/' + pod.name, pod);
        }
    }
    Result<void> take(const WatchEvent& event) {
        types.push_back(event.type);
        if (event.type == Type::error) {
            errors.push_back(event.head);
            return {};
        }
        resource_version = event.head.resource_version;
        if (event.type == Type::deleted) {
            nodes.erase(event.head.name);
            pods.erase(event.head.name_space + '/' + event.head.name);
        } else {
            add(event.objects);
        }
        return {};
    }
};

Replayed replay(const DecodeOptions& options, std::string_view list, std::string_view events, std::size_t first = 4096,
                std::size_t rest = 4096) {
    Replayed state;
    if (!list.empty()) {
        state.add(good_list(options, list).objects);
    }
    WatchDecoder decoder(options);
    const auto fed = feed_in_pieces(events, first, rest, [&](std::string_view piece) {
        return decoder.feed(piece, [&](const WatchEvent& event) { return state.take(event); });
    });
    EXPECT_TRUE(fed.has_value()) << fed.error().message;
    EXPECT_TRUE(decoder.complete());
    return state;
}

std::string watch_error(std::string_view text) {
    WatchDecoder decoder(nodes);
    const auto fed = decoder.feed(text, [](const WatchEvent&) { return Result<void>(); });
    return fed ? "no error" : fed.error().message;
}

// ---- lists

TEST(KubeListDecoderTest, RecordedList_GivesItsNodesAndWhereTheWatchBegins) {
    const auto page = good_list(nodes, kube_api_body("a-nodes-list.response"));
    EXPECT_EQ(page.resource_version, "257");
    EXPECT_EQ(page.continue_token, "");
    EXPECT_THAT(page.objects.warnings, IsEmpty());
    ASSERT_THAT(page.objects.nodes, SizeIs(3));
    const auto& n2 = page.objects.nodes[1];
    EXPECT_EQ(n2.name, "n2");
    EXPECT_THAT(n2.pod_cidrs, ElementsAre("10.244.1.0/24"));
    EXPECT_THAT(n2.internal_ips, ElementsAre("192.168.56.12"));  // it has an ExternalIP as well
    EXPECT_EQ(n2.annotations.at("flannel.alpha.coreos.com/backend-type"), "vxlan");
    EXPECT_EQ(n2.origin, "api");
}

TEST(KubeListDecoderTest, ListCutAtEveryOffset_GivesTheSame) {
    const auto text = kube_api_body("b-nodes-list-page1.response");
    const auto whole = good_list(nodes, text);
    for (std::size_t offset = 1; offset < text.size(); ++offset) {
        const auto page = good_list(nodes, text, offset);
        ASSERT_EQ(page.objects.nodes, whole.objects.nodes) << "cut at " << offset;
        ASSERT_EQ(page.resource_version, "257") << "cut at " << offset;
    }
}

TEST(KubeListDecoderTest, ListByteByByte_GivesTheSame) {
    const auto text = kube_api_body("e-pods-list-n1.response");
    EXPECT_EQ(good_list(pods, text, 1, 1).objects.pods, good_list(pods, text).objects.pods);
}

TEST(KubeListDecoderTest, ListThatEndsTooEarly_IsAnErrorAtEveryOffset) {
    const auto text = kube_api_body("a-nodes-list.response");
    const auto end = text.find_last_of('}');  // a newline follows
    for (std::size_t length = 0; length <= end; length += length < end - 100 ? 97 : 1) {
        ASSERT_FALSE(decode_list(nodes, text.substr(0, length)).has_value()) << length;
    }
}

TEST(KubeListDecoderTest, IndentedList_GivesTheSameObjects) {
    EXPECT_EQ(good_list(nodes, kube_api_text("a-nodes-list-pretty.json")).objects.nodes,
              std::vector(1, good_list(nodes, kube_api_body("a-nodes-list.response")).objects.nodes[0]));
}

TEST(KubeListDecoderTest, EmptyList_IsNoError) {
    EXPECT_EQ(good_list(nodes, kube_api_body("a-nodes-list-empty.response")).objects.nodes.size(), 0U);
    EXPECT_EQ(good_list(pods, kube_api_body("e-pods-list-empty.response")).objects.pods.size(), 0U);
    const auto page = good_list(nodes, R"({"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":null})");
    EXPECT_EQ(page.resource_version, "7");
}

TEST(KubeListDecoderTest, Pages_GiveTheTokenOfTheNext) {
    const auto first = good_list(nodes, kube_api_body("b-nodes-list-page1.response"));
    EXPECT_THAT(first.objects.nodes, SizeIs(2));
    EXPECT_EQ(first.continue_token, "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MjU3LCJzdGFydCI6Im4yXHUwMDAwIn0");
    const auto second = good_list(nodes, kube_api_body("b-nodes-list-page2.response"));
    EXPECT_THAT(second.objects.nodes, SizeIs(1));
    EXPECT_EQ(second.continue_token, "");
    EXPECT_EQ(second.resource_version, first.resource_version);
}

TEST(KubeListDecoderTest, ListOf17Megabytes_KeepsOnlyThePodsOfThisNode) {
    const auto text = kube_api_body("j-pods-5000.response.gz");
    ASSERT_GT(text.size(), 17'000'000U);
    const auto page = good_list({.kind = KubeKind::pod, .node_name = "none", .origin = "api"}, text, 4096, 4096);
    EXPECT_EQ(page.objects.pods_elsewhere, 5000U);
    EXPECT_THAT(page.objects.pods, IsEmpty());
}

TEST(KubeListDecoderTest, KeyItemsElsewhere_IsNotTheList) {
    const auto page =
        good_list(nodes, R"({"a":{"items":[1]},"b":"items","kind":"NodeList",)"
                         R"("metadata":{"resourceVersion":"7"},"items" : [ {"metadata":{"name":"x\"]}"}},)"
                         R"({"metadata":{"name":"y"},"items":[{}]} ]})");
    ASSERT_THAT(page.objects.nodes, SizeIs(2));
    EXPECT_EQ(page.objects.nodes[0].name, "x\"]}");
    EXPECT_EQ(page.objects.nodes[1].name, "y");
}

TEST(KubeListDecoderTest, KeyThatIsItemsButForAnEscape_IsNotTheList) {
    for (const auto* escape : {R"(it\"ems)", R"(it\\ems)", R"(items\n)", R"(\titems)"}) {
        const auto text = fmt::format(
            R"({{"kind":"NodeList","metadata":{{"resourceVersion":"7"}},"{}":[{{"metadata":{{"name":"x"}}}}],"items":[]}})",
            escape);
        EXPECT_THAT(good_list(nodes, text).objects.nodes, IsEmpty()) << escape;
        EXPECT_THAT(good_list(nodes, text, 1, 1).objects.nodes, IsEmpty()) << escape;
    }
}

struct BadList {
    const char* what;
    const char* text;
    const char* message;
};

TEST(KubeListDecoderTest, WhatIsNoList_IsAnErrorThatSaysSo) {
    const auto cases = std::to_array<BadList>({
        {"nothing", "", "cut off"},
        {"plain text", "Too many requests", "unexpected 'T'"},
        {"a Status", R"({"kind":"Status","code":410})", "no NodeList"},
        {"another list", R"({"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[]})", "no NodeList"},
        {"no resourceVersion", R"({"kind":"NodeList","metadata":{},"items":[]})", "resourceVersion"},
        {"no items", R"({"kind":"NodeList","metadata":{"resourceVersion":"7"}})", "items"},
        {"items are no list", R"({"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":{}})", "items"},
        {"a number in items", R"({"kind":"NodeList","items":[1]})", "unexpected '1'"},
        {"no comma", R"({"kind":"NodeList","items":[{}{}]})", "comma"},
        {"two commas", R"({"kind":"NodeList","items":[{},,{}]})", "unexpected ','"},
        {"wrong bracket", R"({"kind":"NodeList","items":[{}})", "unexpected '}'"},
        {"broken item", R"({"kind":"NodeList","items":[{"a"}]})", "not valid JSON"},
        {"broken envelope", R"({"kind","items":[{}]})", "not valid JSON"},
        {"something after it", R"({"kind":"NodeList","items":[]}{})", "unexpected '{'"},
        {"escaped key", R"({"kind":"NodeList","metadata":{"resourceVersion":"7"},"\u0069tems":[{}]})", "items"},
    });
    for (const auto& one : cases) {
        EXPECT_THAT(list_error(one.text), HasSubstr(one.message)) << one.what;
    }
}

TEST(KubeListDecoderTest, ObjectWithoutEnd_IsRefusedBeforeItFillsTheMemory) {
    ListDecoder decoder(nodes);
    const std::string block(1024UL * 1024, 'x');
    ASSERT_TRUE(decoder.feed(R"({"kind":"NodeList","items":[{"a":")").has_value());
    std::size_t fed = 0;
    while (fed < 100 && decoder.feed(block)) {
        ++fed;
    }
    EXPECT_LE(fed, 16U);
}

// ---- watches

TEST(KubeWatchDecoderTest, NodeListAndItsEvents_GiveTheListAfterwards) {
    const auto state = replay(nodes, kube_api_body("a-nodes-list.response"), kube_api_body("c-watch-nodes.response"));
    Replayed after;
    after.add(good_list(nodes, kube_api_body("c-nodes-list-after.response")).objects);
    EXPECT_EQ(state.nodes, after.nodes);
    ASSERT_THAT(state.types, SizeIs(27));
    EXPECT_EQ(state.types.back(), Type::bookmark);
    EXPECT_EQ(state.resource_version, "286");
}

TEST(KubeWatchDecoderTest, PodListAndItsEvents_GiveTheListAfterwards) {
    const auto state =
        replay(pods, kube_api_body("e-pods-list-n1.response"), kube_api_body("e-watch-pods-n1.response"));
    Replayed after;
    after.add(good_list(pods, kube_api_body("e-pods-list-n1-after.response")).objects);
    EXPECT_EQ(state.pods, after.pods);
    EXPECT_THAT(state.types, SizeIs(42));
}

// job-a is over and keeps 10.244.0.6 in its status, api-4 is given that address and goes before job-a does.
TEST(KubeWatchDecoderTest, FinishedPodAndTheNextOwnerOfItsAddress_StayApart) {
    std::map<std::string, PodObject> state;
    bool both = false;
    WatchDecoder decoder(pods);
    const auto fed = decoder.feed(kube_api_body("e-watch-pods-n1.response"), [&](const WatchEvent& event) {
        const auto name = event.head.name_space + '/' + event.head.name;
        if (event.type == Type::deleted) {
            state.erase(name);
        } else if (!event.objects.pods.empty()) {
            state.insert_or_assign(name, event.objects.pods[0]);
        }
        const auto job = std::ranges::find(state, "job-a", [](const auto& entry) { return entry.second.name; });
        const auto api = std::ranges::find(state, "api-4", [](const auto& entry) { return entry.second.name; });
        both = both || (job != state.end() && api != state.end() && job->second.phase == "Succeeded" &&
                        api->second.phase == "Running" && job->second.pod_ips == api->second.pod_ips);
        return Result<void>();
    });
    EXPECT_TRUE(fed.has_value());
    EXPECT_TRUE(both);
}

TEST(KubeWatchDecoderTest, EventsByteByByteAndInOddPieces_GiveTheSame) {
    const auto text = kube_api_body("c-watch-nodes.response");
    const auto whole = replay(nodes, "", text);
    for (const std::size_t size : {1U, 2U, 3U, 7U, 61U, 1021U, 5399U}) {
        EXPECT_EQ(replay(nodes, "", text, size, size), whole) << size;
    }
}

// Events by themselves: a boundary means nothing to those before and after. One of each six is a heartbeat, a new
// node, text with emoji and escapes, a departure.
TEST(KubeWatchDecoderTest, EventCutAtEveryOffset_GivesTheSame) {
    const auto text = kube_api_body("c-watch-nodes.response");
    std::size_t events = 0;
    for (std::size_t begin = 0; begin < text.size(); ++events) {
        const auto event = std::string_view(text).substr(begin, text.find('\n', begin) + 1 - begin);
        const auto whole = replay(nodes, "", event);
        ASSERT_THAT(whole.types, SizeIs(1));
        for (std::size_t offset = 1; events % 6 == 0 && offset < event.size(); ++offset) {
            ASSERT_EQ(replay(nodes, "", event, offset, event.size()), whole) << "cut at " << begin + offset;
        }
        begin += event.size();
    }
    EXPECT_EQ(events, 27U);
}

TEST(KubeWatchDecoderTest, WatchFromZero_AddsWhatIsThere) {
    const auto state = replay(nodes, "", kube_api_body("c-watch-nodes-rv0-synthetic-added.response"));
    EXPECT_EQ(state.nodes.size(), state.types.size());
    EXPECT_EQ(state.nodes.size(), 3U);
    EXPECT_THAT(replay(pods, "", kube_api_body("e-watch-pods-n1-no-rv.response")).pods, testing::Not(IsEmpty()));
}

TEST(KubeWatchDecoderTest, TooOld_IsAnErrorEventWithItsCode) {
    for (const auto* name : {"d-watch-too-old.response", "d-watch-compacted-etcd.response"}) {
        const auto state = replay(nodes, "", kube_api_body(name));
        ASSERT_THAT(state.errors, SizeIs(1)) << name;
        EXPECT_EQ(state.errors[0].code, "410") << name;
        EXPECT_EQ(state.errors[0].reason, "Expired") << name;
        EXPECT_EQ(state.resource_version, "") << name;
    }
}

TEST(KubeWatchDecoderTest, StreamThatEndsInAnEvent_KeepsTheEventsBefore) {
    const auto text = kube_api_body("c-watch-nodes.response");
    WatchDecoder decoder(nodes);
    std::size_t events = 0;
    const auto count = [&](const WatchEvent&) {
        ++events;
        return Result<void>();
    };
    ASSERT_TRUE(decoder.feed(text.substr(0, text.find('\n') + 100), count).has_value());
    EXPECT_EQ(events, 1U);
    EXPECT_FALSE(decoder.complete());
}

TEST(KubeWatchDecoderTest, ObjectWithAWrongType_IsLeftOutButKnownByName) {
    WatchDecoder decoder(nodes);
    const auto fed = decoder.feed(
        R"({"object":{"kind":"Node","metadata":{"name":"n9","resourceVersion":"8","annotations":7}},"type":"MODIFIED"})",
        [](const WatchEvent& event) {
            EXPECT_EQ(event.head.name, "n9");
            EXPECT_THAT(event.objects.nodes, IsEmpty());
            EXPECT_THAT(event.objects.warnings, SizeIs(1));
            return Result<void>();
        });
    EXPECT_TRUE(fed.has_value());
}

TEST(KubeWatchDecoderTest, WhatIsNoEvent_IsAnErrorThatSaysSo) {
    const auto cases = std::to_array<BadList>({
        {"plain text", "Too many requests", "unexpected 'T'"},
        {"a Status", R"({"kind":"Status","code":410})", "no type"},
        {"no object", R"({"type":"ADDED"})", "without a Node"},
        {"another kind", R"({"type":"ADDED","object":{"kind":"Pod","metadata":{"resourceVersion":"7"}}})",
         "without a Node"},
        {"no resourceVersion", R"({"type":"ADDED","object":{"kind":"Node","metadata":{"name":"x"}}})",
         "resourceVersion"},
        {"broken", R"({"type":"ADDED","object":{"kind"}})", "not valid JSON"},
    });
    for (const auto& one : cases) {
        EXPECT_THAT(watch_error(one.text), HasSubstr(one.message)) << one.what;
    }
}

TEST(KubeWatchDecoderTest, UnknownType_IsSkipped) {
    EXPECT_EQ(watch_error(R"({"type":"SNAPSHOT","object":{"kind":"Node"}})"), "no error");
}

}  // namespace
}  // namespace podlane
