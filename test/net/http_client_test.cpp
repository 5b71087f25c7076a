// SPDX-License-Identifier: Apache-2.0
// The agent's HTTP client against a real TLS server:
//
//   +--- namespace ----------------------------------+
//   |  HttpClient --- 127.0.0.1 --- ReplayServer     |
//   +------------------------------------------------+
//
// The server sends recorded answers of an API server byte for byte, in TLS records of any size.
#include "agent/http/http_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/http/http_call.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/temp_dir.h"
#include "test/support/kube_api_fixture.h"
#include "test/support/replay_server.h"

namespace podlane::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Answer;
using test::body_of;
using test::Identity;
using test::kube_api_text;
using test::kube_api_unzipped;
using test::ReplayServer;
using test::TlsAuthority;
using testing::AllOf;
using testing::Ge;
using testing::HasSubstr;
using testing::Lt;
using Then = HttpEvents::Then;

struct Heard {
    HttpHead head;
    std::string body;
    std::string error = "not done";
    std::chrono::steady_clock::duration took{};
};

class HttpClientTest : public testing::Test {
protected:
    // In the namespace of the test, with a loop of its own.
    template <typename Function>
    void in_test(const Function& function) {
        in_namespace(ns_, [&] {
            loop_ = EventLoop::create().value();
            client_ = HttpClient::create(*loop_).value();
            function();
            client_.reset();
            loop_.reset();
            return 0;
        });
    }
    std::unique_ptr<ReplayServer> serve(const Answer& answer, const ReplayServer::Options& options = {}) {
        auto with_identity = options;
        with_identity.identity = options.identity == nullptr ? &identity_ : options.identity;
        return std::make_unique<ReplayServer>(with_identity, [answer](const std::string&) { return answer; });
    }
    [[nodiscard]] HttpQuery request(const std::string& url) const {
        return {.url = url,
                .headers = {"Authorization: Bearer secret"},
                .tls = {.ca_pem = authority_.pem()},
                .timeouts = {.total = seconds(20)}};
    }
    // Until it is done; `stop_after`: of the body, after so many bytes.
    Heard get(const HttpQuery& request, std::size_t stop_after = std::string::npos) {
        Heard heard;
        const auto began = std::chrono::steady_clock::now();
        auto call = client_->start(request, {.head =
                                                 [&](const HttpHead& head) {
                                                     heard.head = head;
                                                     return Then::go_on;
                                                 },
                                             .body =
                                                 [&](std::string_view bytes) {
                                                     heard.body += bytes;
                                                     return heard.body.size() >= stop_after ? Then::stop : Then::go_on;
                                                 },
                                             .done =
                                                 [&](const Result<void>& result) {
                                                     heard.error = result ? "" : result.error().message;
                                                     heard.took = std::chrono::steady_clock::now() - began;
                                                     loop_->stop();
                                                 }});
        EXPECT_TRUE(call.has_value()) << call.error().message;
        EXPECT_TRUE(loop_->run().has_value());
        return heard;
    }

    Namespace ns_{"http"};
    TlsAuthority authority_;
    Identity identity_ = authority_.issue("kube-apiserver", "IP:127.0.0.1,DNS:kubernetes.default.svc");
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<HttpClient> client_;
};

TEST_F(HttpClientTest, RecordedAnswers_ArriveWholeWhateverTheRecordsSize) {
    const auto bytes = kube_api_text("b-nodes-list-page1.response");
    in_test([&] {
        for (const std::size_t piece :
             {std::size_t(1), std::size_t(7), std::size_t(1000), std::size_t(4096), std::size_t(16000), bytes.size()}) {
            const auto server = serve({.bytes = bytes, .piece = piece});
            const auto heard = get(request(server->url() + "/api/v1/nodes?limit=2"));
            EXPECT_EQ(heard.error, "") << piece;
            EXPECT_EQ(heard.head.status, 200) << piece;
            EXPECT_EQ(heard.body, body_of(bytes)) << piece;
            EXPECT_THAT(server->requests(), testing::ElementsAre("GET /api/v1/nodes?limit=2 HTTP/1.1"));
        }
    });
}

TEST_F(HttpClientTest, ListOf17Megabytes_ArrivesWhole) {
    const auto bytes = kube_api_unzipped("j-pods-5000.response.gz");
    in_test([&] {
        const auto server = serve({.bytes = bytes, .piece = 16384});
        EXPECT_EQ(get(request(server->url())).body, body_of(bytes));
    });
}

// Head, chunk sizes and body, each cut everywhere.
TEST_F(HttpClientTest, RecordsOfEverySize_GiveTheSameAnswer) {
    const auto bytes = kube_api_text("b-nodes-list-page2.response");
    in_test([&] {
        std::size_t piece = 0;
        const ReplayServer server({.identity = &identity_},
                                  [&](const std::string&) { return Answer{.bytes = bytes, .piece = ++piece}; });
        while (piece < bytes.size()) {
            const auto heard = get(request(server.url()));
            ASSERT_EQ(heard.error, "") << piece;
            ASSERT_EQ(heard.body, body_of(bytes)) << piece;
        }
        EXPECT_EQ(server.connections(), 1U);
    });
}

TEST_F(HttpClientTest, GzipOfTheServer_IsTakenApart) {
    in_test([&] {
        const auto server = serve({.bytes = kube_api_text("j-nodes-100-server-gzip.response"), .piece = 100});
        const auto heard = get(request(server->url()));
        EXPECT_EQ(heard.error, "");
        EXPECT_THAT(heard.body, AllOf(testing::StartsWith(R"({"kind":"NodeList")"), testing::EndsWith("}\n")));
    });
}

TEST_F(HttpClientTest, OneConnection_ServesRequestsOneAfterAnother) {
    in_test([&] {
        const auto server = serve({.bytes = kube_api_text("a-nodes-list-empty.response")});
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ(get(request(server->url())).error, "");
        }
        EXPECT_EQ(server->requests().size(), 3U);
        EXPECT_EQ(server->connections(), 1U);
    });
}

TEST_F(HttpClientTest, ServerThatSpeaksHttp2_IsSpokenToInHttp2) {
    const auto bytes = kube_api_text("a-nodes-list.response");
    in_test([&] {
        for (const std::size_t piece : {1U, 100U, 16000U}) {
            const auto server = serve({.bytes = bytes, .piece = piece}, {.protocol = ReplayServer::Protocol::http2});
            const auto heard = get(request(server->url() + "/api/v1/nodes"));
            EXPECT_EQ(heard.error, "") << piece;
            EXPECT_EQ(heard.head.status, 200);
            EXPECT_EQ(heard.body, body_of(bytes)) << piece;
            EXPECT_THAT(server->requests(), testing::ElementsAre("GET /api/v1/nodes HTTP/2"));
        }
        const auto busy = serve({.bytes = kube_api_text("f-429-max-in-flight.response")},
                                {.protocol = ReplayServer::Protocol::http2});
        EXPECT_EQ(get(request(busy->url())).head.retry_after, seconds(1));
        const auto zipped = serve({.bytes = kube_api_text("j-nodes-100-server-gzip.response")},
                                  {.protocol = ReplayServer::Protocol::http2});
        EXPECT_THAT(get(request(zipped->url())).body, testing::EndsWith("}\n"));
    });
}

TEST_F(HttpClientTest, Http2ConnectionThatIsCut_IsAnErrorAfterWhatCame) {
    const auto bytes = kube_api_text("g-watch-cut-by-apiserver-sigkill.response");
    in_test([&] {
        const auto server =
            serve({.bytes = bytes, .then = Answer::Then::close}, {.protocol = ReplayServer::Protocol::http2});
        const auto heard = get(request(server->url()));
        EXPECT_NE(heard.error, "");
        EXPECT_EQ(heard.body, body_of(bytes));
    });
}

TEST_F(HttpClientTest, Refusals_TellStatusAndRetryAfter) {
    in_test([&] {
        const auto busy = serve({.bytes = kube_api_text("f-429-max-in-flight.response")});
        auto heard = get(request(busy->url()));
        EXPECT_EQ(heard.error, "");
        EXPECT_EQ(heard.head.status, 429);
        EXPECT_EQ(heard.head.retry_after, seconds(1));
        EXPECT_EQ(heard.body, "Too many requests, please try again later.\n");
        const auto forbidden = serve({.bytes = kube_api_text("f-403-watch-services.response")});
        heard = get(request(forbidden->url()));
        EXPECT_EQ(heard.head.status, 403);
        EXPECT_EQ(heard.head.retry_after, std::nullopt);
    });
}

TEST_F(HttpClientTest, AnswerThatIsCut_IsAnErrorAfterWhatCame) {
    const auto bytes = kube_api_text("g-watch-cut-by-apiserver-sigkill.response");
    in_test([&] {
        const auto server = serve({.bytes = bytes, .then = Answer::Then::close});
        const auto heard = get(request(server->url()));
        EXPECT_NE(heard.error, "");
        EXPECT_EQ(heard.body, body_of(bytes));
    });
}

// The head comes at once, the first event may take minutes.
TEST_F(HttpClientTest, WatchWithoutEvents_IsNoSilence) {
    const auto bytes = kube_api_text("g-watch-nodes-timeout.response");
    const auto head = bytes.substr(0, bytes.find("\r\n\r\n") + 4);
    in_test([&] {
        const auto server = serve({.bytes = head, .then = Answer::Then::hold});
        auto watch = request(server->url());
        watch.timeouts = {.head = milliseconds(500), .total = milliseconds(1500)};
        const auto heard = get(watch);
        EXPECT_EQ(heard.head.status, 200);
        EXPECT_THAT(heard.error, HasSubstr("not complete within 1.5 s"));
        EXPECT_THAT(heard.took, AllOf(Ge(milliseconds(1500)), Lt(milliseconds(3000))));
    });
}

TEST_F(HttpClientTest, ServerThatFallsSilent_IsGivenUp) {
    const auto bytes = kube_api_text("a-nodes-list.response");
    in_test([&] {
        const auto mute = serve({.bytes = "", .then = Answer::Then::hold});
        auto slow = request(mute->url());
        slow.timeouts.head = milliseconds(500);
        EXPECT_THAT(get(slow).error, HasSubstr("no answer within 0.5 s"));

        const auto stuck = serve({.bytes = bytes.substr(0, 5000), .then = Answer::Then::hold});
        slow = request(stuck->url());
        slow.timeouts.silence = milliseconds(500);
        const auto heard = get(slow);
        EXPECT_THAT(heard.error, HasSubstr("silent for 0.5 s"));
        EXPECT_FALSE(heard.body.empty());
    });
}

// A name server that never answers: libcurl's thread goes on looking when the request is given up, for 20 s in all.
TEST_F(HttpClientTest, NameThatNobodyResolves_HoldsUpNothing) {
    const TempDir files("resolver");
    const auto ours = (files.path() / "resolv.conf").string();
    std::ofstream(ours) << "nameserver 127.0.0.1\noptions timeout:10 attempts:2\n";
    // In the mount namespace of this process; see harness/sandbox.h.
    ASSERT_EQ(::mount(ours.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr), 0);
    const auto began = std::chrono::steady_clock::now();
    in_test([&] {
        const Fd mute(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const sockaddr_in at{AF_INET, htons(53), {htonl(INADDR_LOOPBACK)}, {}};
        ASSERT_EQ(::bind(mute.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
        auto query = request("https://api.cluster.test:6443/api/v1/nodes");
        query.timeouts.connect = milliseconds(500);
        EXPECT_THAT(get(query).error, HasSubstr("Resolving timed out"));
    });
    EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(7));
    EXPECT_EQ(::umount("/etc/resolv.conf"), 0);
}

TEST_F(HttpClientTest, NobodyListens_SaysConnectionRefused) {
    in_test([&] {
        const auto url = serve({})->url();  // gone at once
        EXPECT_THAT(get(request(url)).error, HasSubstr("Connection refused"));
    });
}

TEST_F(HttpClientTest, ReaderThatHasEnough_EndsTheRequestWithoutAnError) {
    in_test([&] {
        const auto server = serve({.bytes = kube_api_text("a-nodes-list.response"), .piece = 1000});
        const auto heard = get(request(server->url()), 2000);
        EXPECT_EQ(heard.error, "");
        EXPECT_LT(heard.body.size(), 10000U);
    });
}

TEST_F(HttpClientTest, DestroyedCall_SaysNothingMore) {
    in_test([&] {
        const auto server =
            serve({.bytes = kube_api_text("a-nodes-list.response"), .piece = 100, .pause = milliseconds(5)});
        bool done = false;
        auto call = client_->start(request(server->url()), {.head = [](const HttpHead&) { return Then::go_on; },
                                                            .body = [](std::string_view) { return Then::go_on; },
                                                            .done = [&](const Result<void>&) { done = true; }});
        ASSERT_TRUE(call.has_value());
        auto give_up = loop_->after(milliseconds(100), [&] { call->reset(); });
        auto stop = loop_->after(milliseconds(400), [&] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
        EXPECT_FALSE(done);
        EXPECT_EQ(server->requests().size(), 1U);
    });
}

// The agent executes itself anew when its configuration changes.
TEST_F(HttpClientTest, KeptConnection_IsNotInherited) {
    in_test([&] {
        const auto server = serve({.bytes = kube_api_text("a-nodes-list-empty.response")});
        EXPECT_EQ(get(request(server->url())).error, "");
        std::size_t connections = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            const int fd = std::stoi(entry.path().filename().string());
            sockaddr_in peer{};
            socklen_t size = sizeof(peer);
            if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 && peer.sin_family == AF_INET &&
                ntohs(peer.sin_port) == server->port()) {
                ++connections;
                EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
            }
        }
        EXPECT_EQ(connections, 1U);
    });
}

// ---- whom to trust

TEST_F(HttpClientTest, ServerOfAnotherAuthority_IsRefused) {
    const TlsAuthority other("another authority");
    in_test([&] {
        const auto server = serve({.bytes = kube_api_text("a-nodes-list-empty.response")});
        auto distrusting = request(server->url());
        distrusting.tls.ca_pem = other.pem();
        EXPECT_THAT(get(distrusting).error, HasSubstr("certificate"));
        EXPECT_TRUE(server->requests().empty());
        distrusting.tls.ca_pem = "no PEM at all";
        EXPECT_NE(get(distrusting).error, "");
        distrusting.tls.verify = false;
        distrusting.tls.ca_pem = "";
        EXPECT_EQ(get(distrusting).error, "");
    });
}

TEST_F(HttpClientTest, CertificateOfAnotherName_IsRefusedUnlessItIsTheWantedOne) {
    const auto elsewhere = authority_.issue("kube-apiserver", "DNS:kubernetes.default.svc");
    in_test([&] {
        const auto server = serve({.bytes = kube_api_text("a-nodes-list-empty.response")}, {.identity = &elsewhere});
        auto named = request(server->url() + "/api/v1/nodes");
        EXPECT_NE(get(named).error, "");
        named.tls.server_name = "kubernetes.default.svc";
        const auto heard = get(named);
        EXPECT_EQ(heard.error, "");
        EXPECT_EQ(heard.head.status, 200);
        named.tls.server_name = "somebody.else";
        EXPECT_NE(get(named).error, "");
    });
}

TEST_F(HttpClientTest, ClientCertificate_IsShown) {
    const auto client = authority_.issue("system:node:n1", "DNS:n1");
    in_test([&] {
        const auto server =
            serve({.bytes = kube_api_text("a-nodes-list-empty.response")}, {.client_authority = authority_.pem()});
        EXPECT_NE(get(request(server->url())).error, "");
        auto known = request(server->url());
        known.tls.certificate_pem = client.certificate_pem();
        known.tls.key_pem = client.key_pem();
        EXPECT_EQ(get(known).error, "");
    });
}

TEST_F(HttpClientTest, Token_IsSentAndNothingIsSentInPlainText) {
    in_test([&] {
        std::string seen;
        const ReplayServer server({.identity = &identity_}, [&](const std::string& request) {
            seen = request;
            return Answer{.bytes = kube_api_text("a-nodes-list-empty.response")};
        });
        EXPECT_EQ(get(request(server.url())).error, "");
        EXPECT_THAT(seen, AllOf(HasSubstr("\r\nAuthorization: Bearer secret\r\n"), HasSubstr("gzip")));
        EXPECT_NE(get(request("ftp://127.0.0.1/")).error, "");
    });
}

}  // namespace
}  // namespace podlane::net
