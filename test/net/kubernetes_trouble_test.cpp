// SPDX-License-Identifier: Apache-2.0
// An API server that answers some of what it is asked, over TLS (topology: kube_api_scene.h).
#include "test/net/kube_api_scene.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

using KubernetesTroubleTest = KubeApiScene;

TEST_F(KubernetesTroubleTest, MissingRightToWatch_IsNamedAtOnceThoughListsSucceed) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", "f-403-watch-services");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return says("watch nodes: 403: services is forbidden: User "); });
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));
    });
}

TEST_F(KubernetesTroubleTest, WatchesThatFail_AreAProblemUntilOneIsAcceptedWhateverListsSay) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("list nodes", "a-nodes-list");
    for (int i = 0; i < 4; ++i) {
        script_.add("watch nodes", "d-watch-bad-rv");
    }
    in_test([&] {
        serve();
        start();
        wait_until([&] { return says("watch nodes: 500"); });
        source_->on_change([&] {
            if (good()) {
                EXPECT_THAT(requests("/nodes?watch=true"), SizeIs(5));
            }
        });
        wait_until([&] { return good(); });
        EXPECT_THAT(requests("/nodes?limit=500"), SizeIs(1));
    });
}

TEST_F(KubernetesTroubleTest, BadNodeThatChangesAgainAndAgain_IsWarnedOfOnceAndNoMoreOnceItIsGood) {
    const auto event = [](int version, const std::string& annotations) {
        return fmt::format(
            R"({{"type":"MODIFIED","object":{{"kind":"Node","metadata":{{"name":"n1","resourceVersion":"{}","annotations":{}}}}}}})"
            "\n",
            version, annotations);
    };
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes",
                Answer{.bytes = "HTTP/1.1 200 OK\r\n\r\n" + event(300, "7") + event(301, "7"), .then = Then::hold});
    in_test([&] {
        serve();
        start();
        wait_until([&] { return source_->health().warnings.size() == 1; });
        EXPECT_THAT(source_->objects().nodes, SizeIs(2));
        server_.reset();
        script_.add("watch nodes", Answer{.bytes = "HTTP/1.1 200 OK\r\n\r\n" + event(302, "{}"), .then = Then::hold});
        serve();
        wait_until([&] { return source_->health().warnings.empty(); });
        EXPECT_THAT(source_->objects().nodes, SizeIs(3));
        EXPECT_THAT(requests("/nodes?watch=true")[0], HasSubstr("resourceVersion=301&"));
    });
}

// Nodes come, and only later the pods, which are those of the saved state.
TEST_F(KubernetesTroubleTest, WhatCameBeforeTheStateWasWhole_IsSavedOnceItIs) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("list pods", "e-pods-list-n1");
    in_test([&] {
        serve();
        start(path("state.json"));
        wait_until([&] { return good(); });
        source_.reset();
        script_.add("list nodes", "c-nodes-list-after");
        script_.add("list pods", "f-5xx-etcd-down-list");
        script_.add("list pods", "e-pods-list-n1");
        start(path("state.json"));
        wait_until([&] { return has_nodes_of("c-nodes-list-after"); });
        wait_until([&] { return good(); });
        source_.reset();
        server_.reset();
        start(path("state.json"));
        wait_until([&] { return source_->health().in_sync; });
        EXPECT_TRUE(has_nodes_of("c-nodes-list-after"));
        EXPECT_THAT(source_->objects().pods, SizeIs(4));
    });
}

}  // namespace
}  // namespace podlane::net
