// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/macvlan.h"

// from-shim and to-shim: only this node's macvlan pods meet the shim, and the LAN never does.
namespace podlane::prog {
namespace {

const Tcp syn{40000, 80, tcp_flag::syn};
constexpr std::uint16_t reply = 2;

Frame pod_sends(Ipv4Address to, const Transport& transport = syn) {
    return {.ethernet = {.destination = shim_mac, .source = mac1_mac},
            .ip = {.source = mac1_ip, .destination = to},
            .transport = transport,
            .payload = pattern(32)};
}

Frame host_sends(const Transport& transport = syn) {
    return {.ethernet = {.destination = mac1_mac, .source = shim_mac},
            .ip = {.source = host_ip, .destination = mac1_ip},
            .transport = transport,
            .payload = pattern(32)};
}

Arp pod_asks(Ipv4Address target = host_ip) {
    return {.ethernet = {.destination = broadcast_mac, .source = mac1_mac, .type = ethertype_arp},
            .sender_mac = mac1_mac,
            .sender = mac1_ip,
            .target = target};
}

Arp host_answers() {
    return {.ethernet = {.destination = mac1_mac, .source = shim_mac, .type = ethertype_arp},
            .operation = reply,
            .sender_mac = shim_mac,
            .sender = host_ip,
            .target_mac = mac1_mac,
            .target = mac1_ip};
}

class FromShim : public MacvlanTest {};
class ToShim : public MacvlanTest {};

TEST_F(FromShim, WhatAPodSendsToTheHostAndThroughIt_Passes) {
    for (const Ipv4Address to : {host_ip, address("10.32.0.10"), api_ip, web_ip}) {
        SCOPED_TRACE(to.to_string());
        for (const Transport& transport :
             {Transport(syn), Transport(Udp{5000, 53}), Transport(Icmp{.id = 7}), Transport(OtherProtocol{47})}) {
            EXPECT_TRUE(passes(shim_in, bytes(pod_sends(to, transport)), PATH_MACVLAN_TO_STACK));
        }
    }
    Frame options = pod_sends(host_ip);
    options.ip.options = Bytes(8, 1);
    EXPECT_TRUE(passes(shim_in, bytes(options), PATH_MACVLAN_TO_STACK));
    Frame fragment = pod_sends(host_ip, Udp{5000, 53});
    fragment.ip.fragment = 100;
    EXPECT_TRUE(passes(shim_in, bytes(fragment), PATH_MACVLAN_TO_STACK));
}

TEST_F(FromShim, WhatTheLanSends_IsDropped) {
    Frame frame = pod_sends(host_ip, Udp{68, 67});
    frame.ethernet = {.destination = broadcast_mac, .source = lan_neighbour_mac};
    frame.ip.source = lan_neighbour_ip;
    EXPECT_TRUE(drops(shim_in, bytes(frame), DROP_SHIM_FOREIGN_SENDER));
    frame.ip.source = address("0.0.0.0");
    EXPECT_TRUE(drops(shim_in, bytes(frame), DROP_SHIM_FOREIGN_SENDER));
}

TEST_F(FromShim, PodsAddressWithAnotherMac_IsDropped) {
    Frame frame = pod_sends(host_ip);
    frame.ethernet.source = mac2_mac;
    EXPECT_TRUE(drops(shim_in, bytes(frame), DROP_SHIM_FOREIGN_SENDER));
    frame = pod_sends(host_ip);
    frame.ip.source = mac2_ip;
    EXPECT_TRUE(drops(shim_in, bytes(frame), DROP_SHIM_FOREIGN_SENDER));
    frame.ip.source = host_ip;
    EXPECT_TRUE(drops(shim_in, bytes(frame), DROP_SHIM_FOREIGN_SENDER));
}

TEST_F(FromShim, PodOfAnotherShim_IsDropped) {
    EXPECT_TRUE(drops({Hook::from_shim, "web"}, bytes(pod_sends(host_ip)), DROP_SHIM_FOREIGN_SENDER));
    EXPECT_TRUE(drops({Hook::from_shim, "web"}, bytes(pod_asks()), DROP_SHIM_FOREIGN_SENDER));
    EXPECT_TRUE(drops({Hook::to_shim, "web"}, bytes(host_sends()), DROP_SHIM_NOT_TO_POD));
}

TEST_F(FromShim, PodsRequestForTheHost_Passes) {
    EXPECT_TRUE(passes(shim_in, bytes(pod_asks()), PATH_MACVLAN_TO_STACK));
    Arp probe = pod_asks();
    probe.ethernet.destination = shim_mac;
    probe.target_mac = shim_mac;
    EXPECT_TRUE(passes(shim_in, bytes(probe), PATH_MACVLAN_TO_STACK));
    Bytes padded = bytes(pod_asks());
    padded.resize(60);
    EXPECT_TRUE(passes(shim_in, padded, PATH_MACVLAN_TO_STACK));
}

TEST_F(FromShim, LansRequestForTheHost_IsDropped) {
    Arp arp = pod_asks();
    arp.ethernet.source = arp.sender_mac = lan_neighbour_mac;
    arp.sender = lan_neighbour_ip;
    EXPECT_TRUE(drops(shim_in, bytes(arp), DROP_SHIM_FOREIGN_SENDER));
    arp.sender = address("0.0.0.0");
    EXPECT_TRUE(drops(shim_in, bytes(arp), DROP_SHIM_FOREIGN_SENDER)) << "a probe (RFC 5227)";
    arp.sender = mac1_ip;
    EXPECT_TRUE(drops(shim_in, bytes(arp), DROP_SHIM_FOREIGN_SENDER)) << "a pod's address from another MAC";
}

TEST_F(FromShim, OtherArpOfAPod_IsDropped) {
    EXPECT_TRUE(drops(shim_in, bytes(pod_asks(lan_neighbour_ip)), DROP_SHIM_FOREIGN_ARP));
    EXPECT_TRUE(drops(shim_in, bytes(pod_asks(mac1_ip)), DROP_SHIM_FOREIGN_ARP)) << "gratuitous";
    Arp answer = pod_asks();
    answer.operation = reply;
    EXPECT_TRUE(drops(shim_in, bytes(answer), DROP_SHIM_FOREIGN_ARP));
    Arp strange = pod_asks();
    strange.hardware = 6;
    EXPECT_TRUE(drops(shim_in, bytes(strange), DROP_SHIM_FOREIGN_SENDER));
    Arp forged = pod_asks();
    forged.sender_mac = mac2_mac;
    EXPECT_TRUE(drops(shim_in, bytes(forged), DROP_SHIM_FOREIGN_SENDER));
}

// A second address of the host's on the LAN, or one that fails over between hosts.
TEST_F(FromShim, PodsRequestForAnotherAddressOfTheHost_IsAnswered) {
    EXPECT_TRUE(passes(shim_in, bytes(pod_asks(n1_ip)), PATH_MACVLAN_TO_STACK));
    Arp answer = host_answers();
    answer.sender = n1_ip;
    EXPECT_TRUE(passes(shim_out, bytes(answer), PATH_STACK_TO_MACVLAN));
}

TEST_F(FromShim, WhatIsForTheHostsLoopback_IsDropped) {
    EXPECT_TRUE(drops(shim_in, bytes(pod_sends(address("127.0.0.1"))), DROP_SHIM_TO_LOOPBACK));
    EXPECT_TRUE(drops(shim_in, bytes(pod_asks(address("127.0.0.1"))), DROP_SHIM_FOREIGN_ARP));
}

TEST_F(FromShim, OtherProtocols_AreDropped) {
    for (const unsigned type : {0x86ddU, 0x88ccU, 0x8100U}) {
        Frame frame = pod_sends(host_ip);
        frame.ethernet.type = static_cast<std::uint16_t>(type);
        EXPECT_TRUE(drops(shim_in, bytes(frame), DROP_SHIM_FOREIGN_SENDER));
    }
}

TEST_F(ToShim, WhatTheHostSendsAndForwardsToAPod_Passes) {
    for (const Transport& transport : {Transport(syn), Transport(Udp{5000, 53}), Transport(Icmp{.id = 7}),
                                       Transport(Icmp{.type = icmp_type::unreachable})}) {
        EXPECT_TRUE(passes(shim_out, bytes(host_sends(transport)), PATH_STACK_TO_MACVLAN));
        Frame forwarded = host_sends(transport);
        forwarded.ip.source = web_ip;
        EXPECT_TRUE(passes(shim_out, bytes(forwarded), PATH_STACK_TO_MACVLAN));
    }
}

TEST_F(ToShim, AnswerToAPodsRequest_Passes) {
    EXPECT_TRUE(passes(shim_out, bytes(host_answers()), PATH_STACK_TO_MACVLAN));
}

TEST_F(ToShim, HostsOwnArp_IsDropped) {
    Arp request = host_answers();
    request.operation = 1;
    EXPECT_TRUE(drops(shim_out, bytes(request), DROP_SHIM_NOT_TO_POD)) << "of a pod, which is a permanent neighbour";
    request.ethernet.destination = broadcast_mac;
    request.target = lan_neighbour_ip;
    request.target_mac = {};
    EXPECT_TRUE(drops(shim_out, bytes(request), DROP_SHIM_NOT_TO_POD));
    request.target = host_ip;
    EXPECT_TRUE(drops(shim_out, bytes(request), DROP_SHIM_NOT_TO_POD)) << "gratuitous";
    Arp answer = host_answers();
    answer.ethernet.destination = answer.target_mac = lan_neighbour_mac;
    answer.target = lan_neighbour_ip;
    EXPECT_TRUE(drops(shim_out, bytes(answer), DROP_SHIM_NOT_TO_POD)) << "to a neighbour on the LAN";
    answer = host_answers();
    answer.sender = lan_neighbour_ip;
    EXPECT_TRUE(drops(shim_out, bytes(answer), DROP_SHIM_NOT_TO_POD)) << "for an address that is not the host's";
}

TEST_F(ToShim, WhatIsForNoPod_IsDropped) {
    Frame frame = host_sends();
    frame.ip.destination = lan_neighbour_ip;
    frame.ethernet.destination = lan_neighbour_mac;
    EXPECT_TRUE(drops(shim_out, bytes(frame), DROP_SHIM_NOT_TO_POD));
    frame = host_sends();
    frame.ethernet.destination = mac2_mac;
    EXPECT_TRUE(drops(shim_out, bytes(frame), DROP_SHIM_NOT_TO_POD)) << "another pod's MAC";
    frame = host_sends(OtherProtocol{2});  // IGMP
    frame.ip.destination = address("224.0.0.22");
    frame.ethernet.destination = mac("01:00:5e:00:00:16");
    EXPECT_TRUE(drops(shim_out, bytes(frame), DROP_SHIM_NOT_TO_POD));
    frame = host_sends();
    frame.ethernet.type = 0x86dd;
    EXPECT_TRUE(drops(shim_out, bytes(frame), DROP_SHIM_NOT_TO_POD));
}

// Its first byte says nothing.
TEST_F(ToShim, LaterFragmentThatBeginsLikeARedirect_Passes) {
    Frame later = host_sends(OtherProtocol{1});
    later.ip.fragment = 100;
    later.payload = Bytes(40, 5);
    EXPECT_TRUE(passes(shim_out, bytes(later), PATH_STACK_TO_MACVLAN));
}

TEST_F(ToShim, Redirect_IsDropped) {
    constexpr std::uint8_t redirect = 5;
    Frame frame = host_sends(Icmp{.type = redirect, .code = 1});
    frame.payload = quoted(pod_sends(address("10.32.0.10")));
    EXPECT_TRUE(drops(shim_out, bytes(frame), DROP_SHIM_NOT_TO_POD));
}

}  // namespace
}  // namespace podlane::prog
