// SPDX-License-Identifier: Apache-2.0
// Recordings of a real API server, replayed byte for byte over TLS (topology: kube_api_scene.h).
#include "test/net/kube_api_scene.h"
#include "test/support/timers.h"

namespace podlane::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

using KubernetesSourceTest = KubeApiScene;

// ---- what the recordings say

class KubernetesReplayTest : public KubeApiScene, public testing::WithParamInterface<std::size_t> {
protected:
    // What the recordings' README says of them.
    void expect_the_lists_afterwards(const std::string& version) {
        script_.set_piece(GetParam());
        script_.add("list nodes", "a-nodes-list");
        script_.add("watch nodes", "c-watch-nodes");
        script_.add("list pods", "e-pods-list-n1");
        script_.add("watch pods", "e-watch-pods-n1");
        in_test([&] {
            serve();
            start();
            const auto pods = recorded(KubeKind::pod, "e-pods-list-n1-after").pods;
            wait_until([&] { return has_nodes_of("c-nodes-list-after") && source_->objects().pods == pods; },
                       seconds(60));
            wait_until([&] { return requests("watch=true").size() == 4; });
            EXPECT_TRUE(good()) << problem();
            EXPECT_THAT(
                requests("/nodes?"),
                ElementsAre("GET /api/v1/nodes?resourceVersion=0 " + version,
                            HasSubstr("/nodes?watch=true&allowWatchBookmarks=true&resourceVersion=257&timeoutS"),
                            HasSubstr("&resourceVersion=286&")));
            EXPECT_EQ(requests("/pods?")[0],
                      "GET /api/v1/pods?resourceVersion=0&fieldSelector=spec.nodeName%3Dn1 " + version);
        });
    }
};

TEST_P(KubernetesReplayTest, ListsAndWatches_EndInTheRecordedListsAfterwards) {
    expect_the_lists_afterwards("HTTP/1.1");
}

TEST_P(KubernetesReplayTest, ListsAndWatchesOverHttp2_EndInTheRecordedListsAfterwards) {
    protocol_ = test::ReplayServer::Protocol::http2;
    expect_the_lists_afterwards("HTTP/2");
}

// Single bytes: of a shorter answer, in HttpClientTest; 280 kB of them take a quarter of a minute.
INSTANTIATE_TEST_SUITE_P(RecordsOf, KubernetesReplayTest, testing::Values(5, 13, 1000, 4096, 16384),
                         testing::PrintToStringParamName());

TEST_F(KubernetesSourceTest, Heartbeats_TellNobody) {
    script_.add("list nodes", "a-nodes-list");
    auto heartbeats = kube_api_text("c-watch-nodes.response");
    // The first two events change nothing that is read.
    const auto second = heartbeats.find('\n', heartbeats.find(R"({"type")") + 1);
    heartbeats.resize(heartbeats.find('\n', heartbeats.find(R"({"type")", second) + 1) + 1);
    script_.add("watch nodes", Answer{.bytes = heartbeats, .pause = milliseconds(100), .then = Then::hold});
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good(); });
        const int before = changes_;
        run_for(milliseconds(1500));
        EXPECT_EQ(changes_, before);
    });
}

TEST_F(KubernetesSourceTest, TooOldAsEvent_ListsAgain) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", "d-watch-too-old");
    script_.add("list nodes", "c-nodes-list-after");
    in_test([&] {
        serve();
        start();
        EXPECT_LT(wait_until([&] { return has_nodes_of("c-nodes-list-after"); }), seconds(2));
        EXPECT_TRUE(good()) << problem();
        EXPECT_THAT(requests("GET /api/v1/nodes?resourceVersion="),
                    ElementsAre(HasSubstr("resourceVersion=0 "), HasSubstr("resourceVersion=257 ")));
    });
}

TEST_F(KubernetesSourceTest, TooOldAsStatusAndBetweenPages_EndsInAnExactList) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", "d-list-exact-compacted-410");
    script_.add("list nodes", "d-list-exact-compacted-410");
    script_.add("list nodes", "b-nodes-list-page1");
    script_.add("list nodes", "d-list-continue-expired-410");
    script_.add("list nodes", "b-nodes-list-page1");
    script_.add("list nodes", "b-nodes-list-page2");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return requests("resourceVersion=257&timeout").size() == 2; });
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));
        const auto token = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MjU3LCJzdGFydCI6Im4yXHUwMDAwIn0";
        EXPECT_THAT(requests("limit="),
                    ElementsAre("GET /api/v1/nodes?limit=500 HTTP/1.1",
                                fmt::format("GET /api/v1/nodes?limit=500&continue={} HTTP/1.1", token),
                                "GET /api/v1/nodes?limit=500 HTTP/1.1", HasSubstr(token)));
    });
}

TEST_F(KubernetesSourceTest, VersionOfTheFuture_EndsInAnExactList) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", "d-watch-compacted-etcd");
    script_.add("list nodes", "d-list-rv-too-large-504");
    script_.add("list nodes", "c-nodes-list-after");
    in_test([&] {
        serve();
        start();
        EXPECT_GT(wait_until([&] { return has_nodes_of("c-nodes-list-after"); }), seconds(1));  // Retry-After
        EXPECT_THAT(requests("limit=500"), SizeIs(1));
    });
}

TEST_F(KubernetesSourceTest, WatchThatIsCut_GoesOnWhereItWas) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", "g-watch-cut-by-apiserver-sigkill", Then::close);
    in_test([&] {
        serve();
        start();
        wait_until([&] { return requests("/nodes?watch=true").size() == 2; });
        EXPECT_TRUE(good()) << problem();
        const auto body = test::kube_api_body("g-watch-cut-by-apiserver-sigkill.response");
        const auto at = body.rfind(R"("resourceVersion":")") + 19;
        const auto version = body.substr(at, body.find('"', at) - at);
        EXPECT_THAT(requests("/nodes?watch=true")[1], HasSubstr("resourceVersion=" + version + "&"));
        EXPECT_THAT(requests("/nodes?resourceVersion=0"), SizeIs(1));
    });
}

// ---- refusals

TEST_F(KubernetesSourceTest, TooManyRequests_AreNotRepeatedBeforeTheTimeThatTheServerGave) {
    script_.add("list nodes", "f-429-max-in-flight");
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return says("list nodes: 429: Too many requests"); });
        EXPECT_FALSE(source_->health().in_sync);
        EXPECT_GE(wait_until([&] { return good(); }), milliseconds(900));
    });
}

TEST_F(KubernetesSourceTest, MissingRight_IsNamed) {
    script_.add("list nodes", "f-403-anonymous");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return says("list nodes: 403: nodes is forbidden: User "); });
        run_for(seconds(2));
        EXPECT_THAT(requests("/nodes"), SizeIs(1));
        EXPECT_FALSE(source_->health().in_sync);
    });
}

TEST_F(KubernetesSourceTest, SlowStore_IsAskedAgain) {
    script_.add("list nodes", "f-5xx-etcd-down-list");
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good(); });
        EXPECT_THAT(requests("/nodes?resourceVersion=0"), SizeIs(2));
    });
}

TEST_F(KubernetesSourceTest, AnswerThatIsNoKubernetes_ChangesNothing) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", Answer{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"});
    script_.add("list nodes", Answer{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"});
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return says("the answer is no NodeList"); });
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));
        wait_until([&] { return good(); });
    });
}

// The first token is not good any more, the file has the next one.
class KubernetesTokenTest : public KubeApiScene {
protected:
    Answer answer(const std::string& request) override {
        if (request.find("Bearer second\r\n") != std::string::npos) {
            return script_.answer(request);
        }
        write("token", "second");
        return {.bytes = kube_api_text("f-401-bad-token.response")};
    }
};

TEST_F(KubernetesTokenTest, RefusedToken_IsReadAgainAtOnce) {
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        EXPECT_LT(wait_until([&] { return good(); }), milliseconds(450));
    });
}

// ---- outages

TEST_F(KubernetesSourceTest, Outage_LeavesTheStateAndEndsWithTheWatchGoingOn) {
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good() && requests("watch=true").size() == 2; });
        const auto before = source_->objects();
        server_.reset();
        wait_until([&] { return says("Connection refused"); });
        EXPECT_TRUE(source_->health().in_sync);
        EXPECT_EQ(source_->objects(), before);
        script_.add("watch nodes", "c-watch-nodes");
        serve();
        wait_until([&] { return good() && has_nodes_of("c-nodes-list-after"); });
        EXPECT_THAT(requests("/nodes?watch=true")[0], HasSubstr("resourceVersion=257&"));
        EXPECT_THAT(requests("/nodes?resourceVersion=0"), SizeIs(0));
    });
}

TEST_F(KubernetesSourceTest, OutageOverHttp2_IsNoDifferent) {
    protocol_ = test::ReplayServer::Protocol::http2;
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good() && requests("watch=true").size() == 2; });
        server_.reset();
        wait_until([&] { return says("Connection refused"); });
        script_.add("watch nodes", "c-watch-nodes");
        serve();
        wait_until([&] { return good() && has_nodes_of("c-nodes-list-after"); });
        EXPECT_THAT(requests("/nodes?watch=true")[0], HasSubstr("resourceVersion=257&"));
    });
}

TEST_F(KubernetesSourceTest, ServerWithANewAuthority_IsTrustedOnceTheFileSaysSo) {
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good() && requests("watch=true").size() == 2; });
        server_.reset();
        const test::TlsAuthority next("next authority");
        identity_ = next.issue("kube-apiserver", "IP:127.0.0.1");
        serve();
        wait_until([&] { return says("certificate"); });
        EXPECT_TRUE(requests().empty());
        write("ca.pem", next.pem());
        wait_until([&] { return good(); });
    });
}

TEST_F(KubernetesSourceTest, ColdStartDuringAnOutage_BeginsWithTheSavedState) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("list pods", "e-pods-list-n1");
    in_test([&] {
        serve();
        start(path("lib/state.json"));
        wait_until([&] { return good(); });
        const auto saved = source_->objects();
        ASSERT_THAT(saved.nodes, SizeIs(3));
        ASSERT_THAT(saved.pods, SizeIs(4));
        source_.reset();
        server_.reset();

        start(path("lib/state.json"));
        EXPECT_LT(wait_until([&] { return source_->health().in_sync; }), seconds(1));
        EXPECT_EQ(source_->objects(), saved);
        EXPECT_THAT(problem(), testing::AllOf(HasSubstr("Connection refused"), HasSubstr("begun with the state of")));

        script_.add("list nodes", "c-nodes-list-after");
        serve();
        wait_until([&] { return good() && has_nodes_of("c-nodes-list-after"); });
    });
}

TEST_F(KubernetesSourceTest, SilentServerAtAColdStart_IsNotWaitedForLong) {
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start(path("state.json"));
        wait_until([&] { return good(); });
        source_.reset();
        script_.add("list nodes", Answer{.bytes = "", .then = Then::hold});
        start(path("state.json"));
        const auto took = wait_until([&] { return source_->health().in_sync; });
        EXPECT_GT(took, milliseconds(2500));
        EXPECT_LT(took, milliseconds(4000));
        EXPECT_THAT(problem(), HasSubstr("no answer yet"));
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));
    });
}

TEST_F(KubernetesSourceTest, DamagedSavedState_IsNotUsed) {
    write("state.json", "# podlane cluster state 1 crc32 00000000\n");
    in_test([&] {
        serve();
        server_.reset();
        start(path("state.json"));
        run_for(seconds(4));
        EXPECT_FALSE(source_->health().in_sync);
        EXPECT_THAT(source_->objects().nodes, SizeIs(0));
    });
}

TEST_F(KubernetesSourceTest, SavedState_DoesNotComeBeforeAServerThatAnswers) {
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start(path("state.json"));
        wait_until([&] { return good(); });
        source_.reset();
        script_.add("list nodes", "c-nodes-list-after");
        make_source(path("state.json"));
        bool saw_saved = false;
        source_->on_change([&] { saw_saved = saw_saved || has_nodes_of("a-nodes-list"); });
        ASSERT_TRUE(source_->start().has_value());
        wait_until([&] { return good(); });
        EXPECT_TRUE(has_nodes_of("c-nodes-list-after"));
        EXPECT_FALSE(saw_saved);
    });
}

// ---- a list that lost much

TEST_F(KubernetesSourceTest, ListWithoutMostNodes_IsNotBelievedUntilASecondOneAgrees) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", "d-watch-too-old");
    script_.add("list nodes", "a-nodes-list-empty");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return says("a list lacks 3 of 3 nodes"); });
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));
        EXPECT_GT(wait_until([&] { return source_->objects().nodes.empty(); }), milliseconds(1500));
        EXPECT_TRUE(good()) << problem();
        EXPECT_THAT(requests("/nodes?limit=500"), SizeIs(1));
    });
}

TEST_F(KubernetesSourceTest, ListWithoutMostNodesAndOneThatHasThem_ChangeNothing) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("watch nodes", "d-watch-too-old");
    script_.add("list nodes", "a-nodes-list-empty");
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return says("a list lacks 3 of 3 nodes"); });
        wait_until([&] { return good(); });
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));
    });
}

TEST_F(KubernetesSourceTest, EmptyListAfterARestart_IsHeldAgainstTheSavedState) {
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start(path("state.json"));
        wait_until([&] { return good(); });
        source_.reset();
        start(path("state.json"));
        wait_until([&] { return says("a list lacks 3 of 3 nodes"); });
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));  // the saved one
    });
}

// ---- where and how

TEST_F(KubernetesSourceTest, PodWithAServiceAccount_NeedsNothingElse) {
    script_.add("list nodes", "a-nodes-list");
    write("ca.crt", authority_.pem());
    in_test([&] {
        serve();
        make_source(KubeAccessSource{.kubeconfig = "",
                                     .environment = {{"KUBERNETES_SERVICE_HOST", "127.0.0.1"},
                                                     {"KUBERNETES_SERVICE_PORT", std::to_string(port_)}},
                                     .service_account = files_.path().string()},
                    "");
        ASSERT_TRUE(source_->start().has_value());
        wait_until([&] { return good(); });
        EXPECT_TRUE(has_nodes_of("a-nodes-list"));
    });
}

TEST_F(KubernetesSourceTest, ClusterWithoutEvents_WakesNobody) {
    script_.add("list nodes", "a-nodes-list");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good() && requests("watch=true").size() == 2; });
        // What is left are the times of the connections and of the watches.
        const auto late = std::chrono::steady_clock::now() + seconds(10);
        const auto is_quiet = [] {
            const auto first = test::first_timer();
            return first && *first > seconds(3);
        };
        while (!is_quiet() && std::chrono::steady_clock::now() < late) {
            run_for(milliseconds(20));
        }
        EXPECT_TRUE(is_quiet());
    });
}

// ---- asked to

TEST_F(KubernetesSourceTest, Reload_ListsAgain) {
    script_.add("list nodes", "a-nodes-list");
    script_.add("list nodes", "c-nodes-list-after");
    in_test([&] {
        serve();
        start();
        wait_until([&] { return good() && requests("watch=true").size() == 2; });
        source_->reload();
        EXPECT_LT(wait_until([&] { return has_nodes_of("c-nodes-list-after"); }), seconds(1));
    });
}

TEST_F(KubernetesSourceTest, KubeconfigWithAProgram_EndsTheStartWithAClearMessage) {
    write("kubeconfig",
          "kind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
          "clusters: [{name: c, cluster: {server: 'https://api'}}]\n"
          "users: [{name: u, user: {exec: {command: aws}}}]\n");
    in_test([&] {
        make_source();
        const auto started = source_->start();
        ASSERT_FALSE(started.has_value());
        EXPECT_THAT(started.error().message, HasSubstr("kubeconfig:5: exec is not supported"));
    });
}

}  // namespace
}  // namespace podlane::net
