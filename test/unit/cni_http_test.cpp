// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/http_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "agent/cni/agent.h"
#include "maps/base/fd.h"

namespace podlane::cni {
namespace {

using namespace std::chrono_literals;

struct Received {
    const char* text;
    StreamState state;
    bool whole;
    bool valid;
};

class ReceivedTest : public testing::TestWithParam<Received> {};

TEST_P(ReceivedTest, Response_IsWholeWhenItsLengthOrTheConnectionSaysSo) {
    const auto& [text, state, whole, valid] = GetParam();
    HttpResponse response;
    const auto parsed = parse_http_response(text, state, response);
    ASSERT_EQ(parsed.has_value(), valid);
    if (parsed) {
        EXPECT_EQ(*parsed, whole);
    }
    if (parsed && *parsed) {
        EXPECT_EQ(response.status, 200);
        EXPECT_EQ(response.body, "{}");
    }
}

INSTANTIATE_TEST_SUITE_P(
    CniHttpTest, ReceivedTest,
    testing::Values(
        Received{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", StreamState::open, true, true},
        Received{"HTTP/1.1 200 OK\r\ncontent-length:2 \r\n\r\n{}", StreamState::open, true, true},
        Received{"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\n{}excess", StreamState::open, true, true},
        Received{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", StreamState::open, false, true},
        Received{"HTTP/1.1 200 OK\r\nContent-Len", StreamState::open, false, true},
        Received{"HTTP/1.0 200 OK\r\n\r\n{}", StreamState::open, false, true},
        Received{"HTTP/1.0 200 OK\r\n\r\n{}", StreamState::ended, true, true},
        Received{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", StreamState::ended, false, false},
        Received{"", StreamState::ended, false, false},
        Received{"HTTP/1.1 OK\r\n\r\n", StreamState::open, false, false},
        Received{"SSH-2.0-x\r\n\r\n", StreamState::open, false, false},
        Received{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", StreamState::open, false, false},
        Received{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", StreamState::open, false, false}));

// Serves one prepared answer on a unix socket and keeps what was asked.
class OneAnswer {
public:
    explicit OneAnswer(std::string answer) : answer_(std::move(answer)) {
        std::filesystem::create_directory(folder_);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const auto path = folder_ + "/agent.sock";
        std::memcpy(address.sun_path, path.c_str(), path.size());
        listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(::listen(listener_.get(), 1), 0);
        server_ = std::jthread([this] { serve(); });
    }
    OneAnswer(const OneAnswer&) = delete;
    OneAnswer& operator=(const OneAnswer&) = delete;
    ~OneAnswer() {
        (void)::shutdown(listener_.get(), SHUT_RDWR);
        server_.join();
        std::filesystem::remove_all(folder_);
    }

    [[nodiscard]] const std::string& folder() const { return folder_; }
    [[nodiscard]] std::string asked() {
        server_.join();
        server_ = std::jthread([] {});
        return asked_;
    }

private:
    void serve() {
        const Fd connection(::accept(listener_.get(), nullptr, nullptr));
        std::array<char, 4096> chunk{};
        const ssize_t count = ::recv(connection.get(), chunk.data(), chunk.size(), 0);
        asked_.assign(chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        if (answer_.empty()) {
            (void)::recv(connection.get(), chunk.data(), chunk.size(), 0);  // until the client gives up
        }
        (void)::send(connection.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
    }

    std::string folder_ =
        (std::filesystem::temp_directory_path() / fmt::format("podlane-http-{}", ::getpid())).string();
    std::string answer_;
    std::string asked_;
    Fd listener_;
    std::jthread server_;
};

std::string answer(int status, std::string_view body) {
    return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}

TEST(CniHttpTest, Request_IsHttp11WithItsLength) {
    OneAnswer server(answer(200, "{}"));
    const auto response =
        http_request(server.folder() + "/agent.sock", {"PUT", "/v1/endpoints/a-eth0", "{\"a\":1}"}, 2s);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(server.asked(),
              "PUT /v1/endpoints/a-eth0 HTTP/1.1\r\nHost: podlane\r\nConnection: close\r\n"
              "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
}

TEST(CniHttpTest, SilentServer_IsATimeout) {
    OneAnswer server("");
    const auto response = http_request(server.folder() + "/agent.sock", {"GET", "/", {}}, 100ms);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ETIMEDOUT);
}

TEST(CniHttpTest, MissingSocketOrOneWithTooLongAPath_SaysSo) {
    EXPECT_EQ(http_request("/nonexistent/agent.sock", {"GET", "/", {}}, 1s).error().code, ENOENT);
    EXPECT_EQ(http_request("/" + std::string(200, 'x'), {"GET", "/", {}}, 1s).error().code, ENAMETOOLONG);
}

TEST(CniAgentTest, AgentAwayOrNotReady_IsCode11) {
    EXPECT_EQ(SocketAgent("/nonexistent").network().error().code, 11U);
    OneAnswer server(answer(503, R"({"error":"node n1 has no podCIDR"})"));
    const auto network = SocketAgent(server.folder()).network();
    ASSERT_FALSE(network);
    EXPECT_EQ(network.error().code, 11U);
    EXPECT_NE(network.error().message.find("node n1 has no podCIDR"), std::string::npos);
}

TEST(CniAgentTest, RefusedEndpoint_IsAFailureInTheAgentsWords) {
    OneAnswer server(answer(409, R"({"error":"10.244.1.5 belongs to another"})"));
    const auto added = SocketAgent(server.folder()).add_endpoint(Endpoint());
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, 100U);
    EXPECT_NE(added.error().message.find("10.244.1.5 belongs to another"), std::string::npos);
}

TEST(CniAgentTest, UnknownEndpoint_IsNoFailure) {
    OneAnswer server(answer(404, R"({"error":"unknown"})"));
    const auto endpoint = SocketAgent(server.folder()).endpoint("a-eth0");
    ASSERT_TRUE(endpoint) << endpoint.error().message;
    EXPECT_FALSE(*endpoint);
}

TEST(CniAgentTest, Network_IsReadAndJudged) {
    const auto network = parse_node_network(R"({"podCIDRs":["10.244.1.0/24"],"mtu":1450,"nodeAddress":"192.168.0.8"})");
    ASSERT_TRUE(network) << network.error().message;
    EXPECT_EQ(network->pod_cidrs.at(0).to_string(), "10.244.1.0/24");
    EXPECT_EQ(network->mtu, 1450U);
    EXPECT_TRUE(network->macvlans.empty());
    EXPECT_EQ(parse_node_network(R"({"podCIDRs":[],"mtu":1450})").error().code, 11U);
    for (const char* const text :
         {"", "[]", "{}", R"({"podCIDRs":["x"],"mtu":1450})", R"({"podCIDRs":["10.1.0.0/24"]})"}) {
        EXPECT_EQ(parse_node_network(text).error().code, 6U) << text;
    }
}

TEST(CniAgentTest, MacvlanNetworks_AreReadAndJudged) {
    const auto parse = [](const char* list) {
        return parse_node_network(fmt::format(R"({{"podCIDRs":["10.244.1.0/24"],"mtu":1450,"macvlan":{}}})", list));
    };
    const auto network = parse(R"([{"name":"lan","master":"em2","mode":"bridge","shim":"podlane-lan",
        "hostAddress":"172.20.7.100","routes":["10.244.0.0/16","10.32.0.0/24"]},
        {"name":"away","master":"em3","mode":"bridge","shim":"podlane-away","hostAddress":"","routes":[]}])");
    ASSERT_TRUE(network) << network.error().message;
    ASSERT_EQ(network->macvlans.size(), 2U);
    const auto& lan = network->macvlans[0];
    EXPECT_EQ(lan.name + " " + lan.master + " " + lan.mode, "lan em2 bridge");
    EXPECT_EQ(lan.host_address.to_string(), "172.20.7.100");
    ASSERT_EQ(lan.routes.size(), 2U);
    EXPECT_EQ(lan.routes[1].to_string(), "10.32.0.0/24");
    EXPECT_TRUE(network->macvlans[1].host_address.is_unspecified());
    for (const char* const list :
         {R"([1])", R"([{"routes":[]}])", R"([{"master":"em2"}])", R"([{"master":"em2","routes":["x"]}])",
          R"([{"master":"em2","routes":{}}])", R"([{"master":"em2","routes":[],"hostAddress":"x"}])"}) {
        EXPECT_EQ(parse(list).error().code, 6U) << list;
    }
}

}  // namespace
}  // namespace podlane::cni
