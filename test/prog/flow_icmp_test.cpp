// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// Who owns a flow: ICMP. An echo is a flow by its identifier; an error belongs to the flow that it is about.
namespace podlane::prog {
namespace {

constexpr std::uint8_t icmp = 1;
constexpr std::uint8_t tcp = 6;
const Member& n1 = member("n1");
const Member& n2 = member("n2");

constexpr std::uint16_t echo_id = 0x1234;
const Icmp request{.type = icmp_type::echo, .id = echo_id, .sequence = 1};
const Icmp reply{.type = icmp_type::echo_reply, .id = echo_id, .sequence = 1};
const Flow echo_flow{icmp, web_ip, echo_id, api_ip, echo_id};

class FlowIcmp : public ProgTest {
protected:
    [[nodiscard]] static Verdict verdict(const At& at, const Bytes& packet) {
        const Verdict verdict = node().run(at, packet).verdict;
        node().forget_counters();
        return verdict;
    }
};

Bytes from_web_to(Ipv4Address to, const Transport& transport) {
    return bytes(from_pod(pod("web"), to, transport));
}
Bytes from_api(const Transport& transport) {
    return encapsulated(from_pod(pod("api"), web_ip, transport), n2, n1);
}

// --- echo ---

TEST_F(FlowIcmp, EchoRequest_IsFastAtOnceAndSoIsItsReply) {
    EXPECT_EQ(verdict(from_web, from_web_to(api_ip, request)), Verdict::redirect);
    EXPECT_EQ(node().flows(), (Flows{{to_string(echo_flow), "fast"}}));
    EXPECT_EQ(verdict(underlay_in, from_api(reply)), Verdict::redirect);
}

TEST_F(FlowIcmp, EchoRequestFromRemotePod_IsFastForItsReply) {
    EXPECT_EQ(verdict(underlay_in, from_api(request)), Verdict::redirect);
    EXPECT_EQ(node().flows(), (Flows{{to_string(echo_flow), "fast"}}));
    EXPECT_EQ(verdict(from_web, from_web_to(api_ip, reply)), Verdict::redirect);
}

TEST_F(FlowIcmp, ReplyThatNobodyAskedFor_GoesUpTheStack) {
    EXPECT_TRUE(hands_over(from_web, from_web_to(api_ip, reply), HANDOVER_UNKNOWN_FLOW));
    EXPECT_EQ(node().flows(), (Flows{{to_string(echo_flow), "undecided from-pod"}}));
    node().reset();
    EXPECT_TRUE(hands_over(underlay_in, from_api(reply), HANDOVER_UNKNOWN_FLOW));
    EXPECT_EQ(node().flows(), (Flows{{to_string(echo_flow), "undecided to-pod"}}));
}

TEST_F(FlowIcmp, ReplyToATranslatedRequest_GoesUpTheStack) {
    EXPECT_TRUE(leaves_alone(to_web, bytes(from_pod(pod("db"), web_ip, request))));
    EXPECT_TRUE(hands_over(from_web, from_web_to(db_ip, reply), HANDOVER_STACK_FLOW));
}

TEST_F(FlowIcmp, AnotherIdentifier_IsAnotherFlow) {
    EXPECT_EQ(verdict(from_web, from_web_to(api_ip, request)), Verdict::redirect);
    Icmp other = reply;
    other.id = echo_id + 1;
    EXPECT_TRUE(hands_over(underlay_in, from_api(other), HANDOVER_UNKNOWN_FLOW));
}

TEST_F(FlowIcmp, EchoToAnotherNode_IsFast) {
    EXPECT_EQ(verdict(from_web, from_web_to(n2_ip, request)), Verdict::redirect);
    Frame answer = from_pod(pod("api"), web_ip, reply);
    answer.ip.source = n2_ip;
    EXPECT_EQ(verdict(underlay_in, encapsulated(answer, n2, n1)), Verdict::redirect);
}

// --- errors ---

// What an error is about, and the flow of web's that this is.
struct ErrorCase {
    std::string name;
    Transport sent_by_web;
    Transport sent_by_api;
    Flow flow;
};
void PrintTo(const ErrorCase& error_case, std::ostream* out) {
    *out << error_case.name;
}

class FlowIcmpError : public FlowIcmp, public testing::WithParamInterface<ErrorCase> {
protected:
    static constexpr std::uint8_t types[] = {icmp_type::unreachable, icmp_type::time_exceeded,
                                             icmp_type::parameter_problem};

    // web complains about what api sent.
    [[nodiscard]] static Frame error_of_web(std::uint8_t type) {
        Frame error = from_pod(pod("web"), api_ip, Icmp{.type = type, .code = 1});
        error.payload = quoted(from_pod(pod("api"), web_ip, GetParam().sent_by_api));
        return error;
    }
    // Node n2 complains about what web sent to api: the error's own source is not the flow's.
    [[nodiscard]] static Frame error_of_n2(std::uint8_t type) {
        Frame error = from_pod(pod("api"), web_ip, Icmp{.type = type, .code = 1});
        error.ip.source = n2_ip;
        error.payload = quoted(from_pod(pod("web"), api_ip, GetParam().sent_by_web));
        return error;
    }
};

TEST_P(FlowIcmpError, AboutAFastFlow_IsForwarded) {
    node().set_flow(GetParam().flow, FLOW_OWNER_FAST);
    const Flows before = node().flows();
    for (const std::uint8_t type : types) {
        SCOPED_TRACE(unsigned{type});
        EXPECT_TRUE(encapsulates(from_web, error_of_web(type), n2));
        EXPECT_TRUE(redirects(underlay_in, encapsulated(error_of_n2(type), n2, n1),
                              bytes(delivered(error_of_n2(type), pod("web"))), PATH_OVERLAY_TO_POD));
    }
    EXPECT_EQ(node().flows(), before);
}

TEST_P(FlowIcmpError, AboutAStackFlow_GoesUpTheStack) {
    node().set_flow(GetParam().flow, FLOW_OWNER_STACK);
    const Flows before = node().flows();
    for (const std::uint8_t type : types) {
        SCOPED_TRACE(unsigned{type});
        EXPECT_TRUE(hands_over(from_web, bytes(error_of_web(type)), HANDOVER_STACK_FLOW));
        EXPECT_TRUE(hands_over(underlay_in, encapsulated(error_of_n2(type), n2, n1), HANDOVER_STACK_FLOW));
    }
    EXPECT_EQ(node().flows(), before);
}

TEST_P(FlowIcmpError, AboutAnUnknownFlow_GoesUpTheStackAndTeachesNothing) {
    for (const std::uint8_t type : types) {
        SCOPED_TRACE(unsigned{type});
        EXPECT_TRUE(hands_over(from_web, bytes(error_of_web(type)), HANDOVER_UNKNOWN_FLOW));
        EXPECT_TRUE(hands_over(underlay_in, encapsulated(error_of_n2(type), n2, n1), HANDOVER_UNKNOWN_FLOW));
        EXPECT_TRUE(leaves_alone(to_web, bytes(error_of_n2(type))));
        EXPECT_TRUE(
            redirects(underlay_out, bytes(error_of_web(type)), bytes(error_of_web(type)), PATH_STACK_TO_OVERLAY));
        EXPECT_EQ(verdict(overlay_out, bytes(error_of_web(type))), Verdict::pass);
    }
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_P(FlowIcmpError, AboutAnUndecidedFlow_DecidesNothing) {
    node().set_flow(GetParam().flow, FLOW_OWNER_UNDECIDED, FLOW_PENDING_FROM_POD | FLOW_PENDING_TO_POD);
    const Flows before = node().flows();
    for (const std::uint8_t type : types) {
        EXPECT_TRUE(hands_over(from_web, bytes(error_of_web(type)), HANDOVER_UNKNOWN_FLOW));
        EXPECT_TRUE(leaves_alone(to_web, bytes(error_of_n2(type))));
        EXPECT_EQ(verdict(overlay_out, bytes(error_of_web(type))), Verdict::pass);
    }
    EXPECT_EQ(node().flows(), before);
}

INSTANTIATE_TEST_SUITE_P(
    About, FlowIcmpError,
    testing::Values(ErrorCase{"Tcp", Tcp{40000, 80}, Tcp{80, 40000}, {tcp, web_ip, 40000, api_ip, 80}},
                    ErrorCase{"Udp", Udp{5000, 53}, Udp{53, 5000}, {17, web_ip, 5000, api_ip, 53}},
                    ErrorCase{"Echo", request, reply, echo_flow},
                    ErrorCase{"Gre", OtherProtocol{47}, OtherProtocol{47}, {47, web_ip, 0, api_ip, 0}}),
    [](const auto& test) { return test.param.name; });

TEST_F(FlowIcmp, ErrorBetweenLocalPods_GoesByTheOwnersOfBoth) {
    Frame error = from_pod(pod("web"), db_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(from_pod(pod("db"), web_ip, Udp{5000, 53}));
    const Flow of_web{17, web_ip, 53, db_ip, 5000};
    const Flow of_db{17, db_ip, 5000, web_ip, 53};

    node().set_flow(of_web, FLOW_OWNER_FAST);
    EXPECT_TRUE(hands_over(from_web, bytes(error), HANDOVER_UNKNOWN_FLOW));
    node().set_flow(of_db, FLOW_OWNER_STACK);
    EXPECT_TRUE(hands_over(from_web, bytes(error), HANDOVER_STACK_FLOW));
    node().set_flow(of_db, FLOW_OWNER_FAST);
    EXPECT_TRUE(redirects(from_web, bytes(error), bytes(delivered(error, pod("db"))), PATH_POD_TO_LOCAL_POD));
}

TEST_F(FlowIcmp, ErrorToTheOutside_GoesUpTheStackAndTeachesNothing) {
    Frame error = from_pod(pod("web"), outside_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    Frame quoted_packet = from_pod(pod("web"), web_ip, Udp{5000, 53});
    quoted_packet.ip.source = outside_ip;
    error.payload = quoted(quoted_packet);
    EXPECT_TRUE(hands_over(from_web, bytes(error), HANDOVER_OUTSIDE));
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_F(FlowIcmp, ErrorThatQuotesIpOptions_GoesUpTheStack) {
    node().set_flow({17, web_ip, 5000, api_ip, 53}, FLOW_OWNER_FAST);
    Frame about = from_pod(pod("api"), web_ip, Udp{53, 5000});
    about.ip.options = Bytes(4, 1);
    Frame error = from_pod(pod("web"), api_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(about);
    EXPECT_TRUE(hands_over(from_web, bytes(error), HANDOVER_UNKNOWN_FLOW));
}

}  // namespace
}  // namespace podlane::prog
