// SPDX-License-Identifier: Apache-2.0
// The control server on a real unix socket, in an event loop of its own thread, against libcurl and raw sockets.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/ctl/agent_client.h"
#include "agent/ctl/http_routes.h"
#include "agent/ctl/http_server.h"
#include "test/unit/running_server.h"

namespace podlane {
namespace {

using namespace std::chrono_literals;

void add_handlers(HttpServer& server) {
    server.handle("GET", "/v1/status", [](const HttpRequest&) { return HttpResponse{.body = R"({"state":"ok"})"}; });
    server.handle("GET", "/v1/big",
                  [](const HttpRequest&) { return HttpResponse{.body = std::string(8U << 20U, 'b')}; });
    server.handle("GET", "/v1/query", [](const HttpRequest& request) {
        return HttpResponse{.body = nlohmann::json(request.query).dump()};
    });
    server.handle("GET", "/v1/throw", [](const HttpRequest&) -> HttpResponse { throw std::logic_error("oh"); });
    server.handle("PUT", "/v1/endpoints/{id}", [](const HttpRequest& request) {
        return HttpResponse{.body = nlohmann::json{{"id", request.id}, {"size", request.body.size()}}.dump()};
    });
    server.handle("DELETE", "/v1/endpoints/{id}", [](const HttpRequest&) { return HttpResponse{}; });
}

class HttpServerTest : public testing::Test {
protected:
    void serve(const HttpLimits& limits = {}) { server_.emplace(directory_.path(), add_handlers, limits); }
    [[nodiscard]] AgentReply call(const AgentCall& request) const {
        const auto reply = AgentClient(directory_.path(), 10s).call(request);
        EXPECT_TRUE(reply.has_value()) << reply.error().message;
        return reply.value_or(AgentReply{});
    }
    // A connection on which nothing has been sent.
    [[nodiscard]] Fd connect_raw() const {
        Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
        socket_path().native().copy(address.sun_path, sizeof(address.sun_path) - 1);
        EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        const timeval patience{.tv_sec = 10, .tv_usec = 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        return fd;
    }
    // Everything until the server closes; empty also when it resets the connection.
    [[nodiscard]] static std::string exchange(const Fd& fd, std::string_view text) {
        EXPECT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
        std::string answer;
        std::array<char, 4096> buffer{};
        for (ssize_t count = 0; (count = recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;) {
            answer.append(buffer.data(), static_cast<std::size_t>(count));
        }
        return answer;
    }
    [[nodiscard]] std::filesystem::path socket_path() const { return directory_.path() / "agent.sock"; }

    TemporaryDirectory directory_;
    std::optional<RunningServer> server_;
};

TEST_F(HttpServerTest, KnownPath_IsAnsweredByItsHandler) {
    serve();
    const auto reply = call({.path = "/v1/status"});
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, R"({"state":"ok"})");
}

TEST_F(HttpServerTest, QueryString_IsNoPartOfThePath) {
    serve();
    EXPECT_EQ(call({.path = "/v1/status?verbose=1"}).status, 200);
}

TEST_F(HttpServerTest, BodyAndId_ReachTheHandler) {
    serve();
    const std::string body(1U << 20U, 'x');
    const auto reply = call({.method = "PUT", .path = "/v1/endpoints/abc%2D1-eth0", .body = body});
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(nlohmann::json::parse(reply.body), (nlohmann::json{{"id", "abc-1-eth0"}, {"size", 1U << 20U}}));
}

TEST_F(HttpServerTest, LargeAnswer_ArrivesWhole) {
    serve();
    EXPECT_EQ(call({.path = "/v1/big"}).body, std::string(8U << 20U, 'b'));
}

TEST_F(HttpServerTest, Query_IsTheArgumentsNames) {
    serve();
    EXPECT_EQ(call({.path = "/v1/query"}).body, "[]");
    EXPECT_EQ(call({.path = "/v1/query?verbose"}).body, R"(["verbose"])");
    EXPECT_EQ(call({.path = "/v1/query?verbose=1&other=%20"}).body, R"(["verbose","other"])");
}

TEST(TcpListenerTest, TakenPort_IsAnErrorAndAFreeOneListens) {
    for (const std::string host : {"127.0.0.1", "::1"}) {
        const auto listener = listen_tcp(host, 0);
        if (!listener && listener.error().code == EADDRNOTAVAIL) {
            continue;  // a machine without IPv6
        }
        ASSERT_TRUE(listener.has_value()) << listener.error().message;
        sockaddr_in6 address{};  // the port stands where sockaddr_in has it
        socklen_t size = sizeof(address);
        ASSERT_EQ(getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        const auto second = listen_tcp(host, ntohs(address.sin6_port));
        ASSERT_FALSE(second.has_value());
        EXPECT_EQ(second.error().code, EADDRINUSE);
    }
    EXPECT_EQ(listen_tcp("localhost", 0).error().code, EINVAL);
    EXPECT_EQ(listen_tcp("192.0.2.1", 0).error().code, EADDRNOTAVAIL);
}

TEST_F(HttpServerTest, UnknownPath_Is404) {
    serve();
    const auto reply = call({.path = "/v1/nothing"});
    EXPECT_EQ(reply.status, 404);
    EXPECT_EQ(nlohmann::json::parse(reply.body), (nlohmann::json{{"error", "there is no /v1/nothing"}}));
}

TEST_F(HttpServerTest, UnknownMethod_Is405AndNamesTheOthers) {
    serve();
    const auto answer = exchange(
        connect_raw(), "POST /v1/endpoints/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 405 ")) << answer;
    EXPECT_NE(answer.find("\r\nAllow: PUT, DELETE\r\n"), std::string::npos) << answer;
    EXPECT_TRUE(answer.ends_with(R"({"error":"/v1/endpoints/a takes PUT, DELETE, not POST"})")) << answer;
}

TEST_F(HttpServerTest, Head_HasTheHeadersOfGetAndNoBody) {
    serve();
    const auto answer = exchange(connect_raw(), "HEAD /v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(HttpServerTest, OversizedBody_Is413AndTheServerLivesOn) {
    serve();
    for (const std::size_t size : {(std::size_t{1} << 20U) + 1, std::size_t{16} << 20U}) {
        const auto reply = call({.method = "PUT", .path = "/v1/endpoints/a", .body = std::string(size, 'x')});
        EXPECT_EQ(reply.status, 413);
        EXPECT_EQ(nlohmann::json::parse(reply.body),
                  (nlohmann::json{{"error", "the body is larger than 1048576 bytes"}}));
    }
    EXPECT_EQ(call({.path = "/v1/status"}).status, 200);
}

TEST_F(HttpServerTest, HopelessDeclaredLength_Is413BeforeTheBody) {
    serve();
    const auto answer =
        exchange(connect_raw(), "PUT /v1/endpoints/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 413 ")) << answer;
}

TEST_F(HttpServerTest, ThrowingHandler_Is500) {
    serve();
    const auto reply = call({.path = "/v1/throw"});
    EXPECT_EQ(reply.status, 500);
    EXPECT_EQ(nlohmann::json::parse(reply.body), (nlohmann::json{{"error", "internal error: oh"}}));
}

TEST_F(HttpServerTest, Garbage_IsRefusedAndTheServerLivesOn) {
    serve({.idle_timeout = 1s});
    const std::string nuls(200, '\0');
    for (const std::string& garbage :
         {std::string("\r\n\r\n\r\n"), std::string("not http at all\r\n\r\n"), nuls, std::string(100'000, 'A'),
          std::string("GET /v1/status HTTP/9.9\r\n\r\n"), std::string("GET /v1/status HTTP/1.1\r\nHost\r\n\r\n"),
          std::string("PUT /v1/endpoints/a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
          std::string("PUT /v1/endpoints/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")}) {
        const auto answer = exchange(connect_raw(), garbage);
        EXPECT_EQ(answer.find("HTTP/1.1 200 "), std::string::npos) << garbage.substr(0, 50) << " -> " << answer;
    }
    EXPECT_EQ(call({.path = "/v1/status"}).status, 200);
}

TEST_F(HttpServerTest, SlowClients_DoNotHoldUpOthersAndAreClosed) {
    serve({.idle_timeout = 1s});
    std::vector<Fd> slow;
    for (int i = 0; i < 20; ++i) {
        slow.push_back(connect_raw());
        const std::string_view half = "PUT /v1/endpoints/a HTTP/1.1\r\nContent-Le";
        ASSERT_GT(send(slow.back().get(), half.data(), half.size(), 0), 0);
    }
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(call({.path = "/v1/status"}).status, 200);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 500ms);
    for (const Fd& fd : slow) {
        char byte = 0;
        EXPECT_EQ(recv(fd.get(), &byte, 1, 0), 0);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST_F(HttpServerTest, ClientThatTakesNothing_DoesNotHoldUpOthers) {
    serve();
    const Fd greedy = connect_raw();
    const std::string_view request = "GET /v1/big HTTP/1.1\r\nHost: a\r\n\r\n";
    ASSERT_GT(send(greedy.get(), request.data(), request.size(), 0), 0);
    EXPECT_EQ(call({.path = "/v1/status"}).status, 200);
}

TEST_F(HttpServerTest, OverTheConnectionLimit_TheNextIsServedWhenOneGoes) {
    serve({.connections = 2, .idle_timeout = 60s});
    std::vector<Fd> idle;
    idle.push_back(connect_raw());
    idle.push_back(connect_raw());
    auto waiting = std::async(std::launch::async, [&] { return call({.path = "/v1/status"}).status; });
    EXPECT_EQ(waiting.wait_for(300ms), std::future_status::timeout);
    idle.pop_back();
    EXPECT_EQ(waiting.get(), 200);
}

TEST_F(HttpServerTest, ManyParallelCalls_AreAllAnswered) {
    serve();
    std::vector<std::future<long>> calls;
    calls.reserve(50);
    for (int i = 0; i < 50; ++i) {
        calls.push_back(std::async(std::launch::async, [&] { return call({.path = "/v1/status"}).status; }));
    }
    for (auto& one : calls) {
        EXPECT_EQ(one.get(), 200);
    }
}

TEST_F(HttpServerTest, Socket_IsTheOwnersAlone) {
    serve();
    struct stat status{};
    ASSERT_EQ(stat(socket_path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST_F(HttpServerTest, StaleSocket_IsReplaced) {
    {
        const auto abandoned = listen_unix(socket_path());
    }
    ASSERT_TRUE(std::filesystem::exists(socket_path()));
    serve();
    EXPECT_EQ(call({.path = "/v1/status"}).status, 200);
}

TEST_F(HttpServerTest, LiveSocket_IsRefusedAndGoesOnWorking) {
    serve();
    const auto second = listen_unix(socket_path());
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, EADDRINUSE);
    EXPECT_EQ(second.error().message, fmt::format("listen on {} (another agent answers there): Address already in use",
                                                  socket_path().native()));
    EXPECT_EQ(call({.path = "/v1/status"}).status, 200);
}

TEST_F(HttpServerTest, OtherFileAtTheSocketsPlace_IsLeftAlone) {
    std::ofstream(socket_path()) << "precious";
    const auto listener = listen_unix(socket_path());
    ASSERT_FALSE(listener.has_value());
    EXPECT_EQ(listener.error().code, EEXIST);
    EXPECT_EQ(std::filesystem::file_size(socket_path()), 8U);
}

TEST_F(HttpServerTest, TooLongSocketPath_IsAnError) {
    const auto listener = listen_unix(directory_.path() / std::string(120, 'p'));
    ASSERT_FALSE(listener.has_value());
    EXPECT_EQ(listener.error().code, ENAMETOOLONG);
}

TEST_F(HttpServerTest, NoAgent_IsConnectionRefusedOrNoFile) {
    const auto nothing = AgentClient(directory_.path(), 1s).call({.path = "/v1/status"});
    ASSERT_FALSE(nothing.has_value());
    EXPECT_EQ(nothing.error().code, ENOENT);
    {
        const auto abandoned = listen_unix(socket_path());
    }
    const auto refused = AgentClient(directory_.path(), 1s).call({.path = "/v1/status"});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().message,
              fmt::format("no agent answers on {}: Connection refused", socket_path().native()));
}

TEST_F(HttpServerTest, AgentThatHangs_TimesOut) {
    const auto silent = listen_unix(socket_path());
    const auto reply = AgentClient(directory_.path(), 200ms).call({.path = "/v1/status"});
    ASSERT_FALSE(reply.has_value());
    EXPECT_EQ(reply.error().code, ETIMEDOUT);
}

struct IdCase {
    std::string path;
    unsigned status;
    std::string id;
};

class HttpIdTest : public testing::TestWithParam<IdCase> {};

TEST_P(HttpIdTest, Id_IsDecodedAndHarmless) {
    HttpRoutes routes;
    routes.add("GET", "/v1/endpoints", [](const HttpRequest&) { return HttpResponse{.body = "list"}; });
    routes.add("GET", "/v1/endpoints/{id}",
               [](const HttpRequest& request) { return HttpResponse{.body = request.id}; });
    const auto response = routes.answer({.method = "GET", .path = GetParam().path, .id = {}, .body = {}});
    EXPECT_EQ(response.status, GetParam().status) << response.body;
    if (GetParam().status == 200) {
        EXPECT_EQ(response.body, GetParam().id);
    }
}

INSTANTIATE_TEST_SUITE_P(Paths, HttpIdTest,
                         testing::Values(IdCase{"/v1/endpoints", 200, "list"}, IdCase{"/v1/endpoints/", 404, ""},
                                         IdCase{"/v1/endpoints/a-eth0", 200, "a-eth0"},
                                         IdCase{"/v1/endpoints/a%2deth0", 200, "a-eth0"},
                                         IdCase{"/v1/endpoints/a/b", 404, ""}, IdCase{"/v1/endpoints/a%2Fb", 400, ""},
                                         IdCase{"/v1/endpoints/..", 400, ""}, IdCase{"/v1/endpoints/%2e%2E", 400, ""},
                                         IdCase{"/v1/endpoints/a%00b", 400, ""}, IdCase{"/v1/endpoints/a%2", 400, ""},
                                         IdCase{"/v1/endpoints/a%zzb", 400, ""}, IdCase{"/v1/endpointsx", 404, ""}));

TEST(HttpResponseTest, Error_IsJsonWhateverTheMessageHolds) {
    const auto response = HttpResponse::error(400, "bad \"name\" \xff\n");
    EXPECT_EQ(nlohmann::json::parse(response.body)["error"], "bad \"name\" \xef\xbf\xbd\n");
}

}  // namespace
}  // namespace podlane
