// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/cluster.h"

#include <algorithm>
#include <stdexcept>

namespace podlane::prog {
namespace {

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

template <typename T>
const T& by_name(const std::vector<T>& all, std::string_view name) {
    const auto found = std::ranges::find(all, name, &T::name);
    if (found == all.end()) {
        throw std::logic_error(fmt::format("the test cluster has no {}", name));
    }
    return *found;
}

}  // namespace

const std::vector<Member>& members() {
    static const std::vector<Member> all{
        {"n1", n1_ip, prefix("10.244.1.0/24"), mac("02:50:c0:a8:64:01"), n1_ip, NODE_PATH_VXLAN},
        {"n2", n2_ip, prefix("10.244.2.0/24"), mac("02:50:c0:a8:64:02"), n2_ip, NODE_PATH_VXLAN},
        {"n3", n3_ip, prefix("10.244.3.0/24"), mac("0e:61:06:ff:7a:73"), address("192.168.100.254"), NODE_PATH_VXLAN},
        {"n4", address("192.168.100.4"), prefix("10.244.4.0/24"), mac("02:50:c0:a8:64:04"), address("192.168.100.4"),
         NODE_PATH_UNREACHABLE},
        {"n5", address("192.168.100.5"), prefix("10.244.5.0/24"), mac("02:50:c0:a8:64:05"), {}, NODE_PATH_VXLAN},
        {"n6", n6_ip, prefix("10.244.6.0/24"), mac("02:50:c0:a8:64:06"), n6_ip, NODE_PATH_DIRECT},
    };
    return all;
}

const Member& member(std::string_view name) {
    return by_name(members(), name);
}

const std::vector<Pod>& pods() {
    static const std::vector<Pod> all{
        {"web", "n1", web_ip, mac("0a:00:00:00:01:05"), mac("0a:ff:00:00:01:05"), 1450},
        {"db", "n1", db_ip, mac("0a:00:00:00:01:06"), mac("0a:ff:00:00:01:06"), 1450},
        {"small", "n1", small_ip, mac("0a:00:00:00:01:07"), mac("0a:ff:00:00:01:07"), 1280},
        {"api", "n2", api_ip, mac("0a:00:00:00:02:07"), mac("0a:ff:00:00:02:07"), 1450},
    };
    return all;
}

const Pod& pod(std::string_view name) {
    return by_name(pods(), name);
}

std::string underlay_device(std::string_view node) {
    return fmt::format("eth{}", node.substr(1));
}

MacAddress underlay_mac(std::string_view node) {
    return mac(fmt::format("52:54:00:00:00:0{}", node.substr(1)));
}

Frame from_pod(const Pod& from, Ipv4Address to, Transport transport, std::size_t payload_length) {
    return {.ethernet = {.destination = from.host_mac, .source = from.mac},
            .ip = {.source = from.address, .destination = to},
            .transport = transport,
            .payload = pattern(payload_length)};
}

Tunnel tunnel(const Member& from, const Member& to) {
    return {.ethernet = {.destination = underlay_mac(to.name), .source = underlay_mac(from.name)},
            .ip = {.source = from.address, .destination = to.address, .fragment = 0},
            .udp = {.source_port = 51234, .destination_port = overlay_port, .checksum = 0}};
}

Frame between_vteps(Frame inner, const Member& from, const Member& to) {
    inner.ethernet = {.destination = to.vtep_mac, .source = from.vtep_mac};
    return inner;
}

Bytes encapsulated(const Frame& inner, const Member& from, const Member& to) {
    return encapsulated(tunnel(from, to), bytes(between_vteps(inner, from, to)));
}

std::uint16_t outer_source_port(const Bytes& frame) {
    return read16(frame, 34);
}

Bytes expected_encapsulation(const Frame& sent, const Member& from, const Member& to, const Bytes& output) {
    constexpr std::size_t offset_of_id = 18;
    Tunnel outer = tunnel(from, to);
    outer.ethernet = sent.ethernet;
    outer.ip.tos = sent.ip.tos & 3U;  // ECN alone
    outer.ip.id = read16(output, offset_of_id);
    outer.udp.source_port = outer_source_port(output);
    Frame inner = between_vteps(sent, from, to);
    inner.ip.ttl -= 1;
    return encapsulated(outer, bytes(inner));
}

Frame delivered(Frame frame, const Pod& to) {
    frame.ethernet = {.destination = to.mac, .source = to.host_mac};
    frame.ip.ttl -= 1;
    return frame;
}

}  // namespace podlane::prog
