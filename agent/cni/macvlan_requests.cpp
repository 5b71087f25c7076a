// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/macvlan_requests.h"

#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

namespace podlane::cni {
namespace {

struct Mode {
    std::string_view name;
    std::uint32_t number;
};
constexpr std::array modes{Mode{"bridge", MACVLAN_MODE_BRIDGE}, Mode{"private", MACVLAN_MODE_PRIVATE},
                           Mode{"vepa", MACVLAN_MODE_VEPA}, Mode{"passthru", MACVLAN_MODE_PASSTHRU}};

ifinfomsg header_of(int index) {
    ifinfomsg header{};
    header.ifi_family = AF_UNSPEC;
    header.ifi_index = index;
    return header;
}

}  // namespace

RtMessage create_macvlan_request(const Attachment& attachment, int master_index, int sandbox_fd) {
    const auto& endpoint = attachment.endpoint;
    RtMessage message(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, header_of(0));
    message.put_string(IFLA_IFNAME, host_interface_name(endpoint.container_id, endpoint.if_name));
    message.put_value(IFLA_LINK, std::int32_t{master_index});
    message.put_value(IFLA_NET_NS_FD, static_cast<std::uint32_t>(sandbox_fd));
    message.put_value(IFLA_ADDRESS, endpoint.mac.bytes());
    message.put_value(IFLA_MTU, std::uint32_t{endpoint.mtu});
    const auto link_info = message.open(IFLA_LINKINFO);
    message.put_string(IFLA_INFO_KIND, "macvlan");
    const auto data = message.open(IFLA_INFO_DATA);
    message.put_value(IFLA_MACVLAN_MODE, macvlan_mode_number(endpoint.mode));
    if (attachment.broadcast_queue) {
        message.put_value(IFLA_MACVLAN_BC_QUEUE_LEN, *attachment.broadcast_queue);
    }
    message.close(data);
    message.close(link_info);
    return message;
}

RtMessage rename_request(int index, const std::string& name, const std::string& alias) {
    RtMessage message(RTM_SETLINK, NLM_F_ACK, header_of(index));
    message.put_string(IFLA_IFNAME, name);
    message.put(IFLA_IFALIAS, std::as_bytes(std::span(alias)));
    return message;
}

std::uint32_t macvlan_mode_number(std::string_view mode) {
    const auto* const found = std::ranges::find(modes, mode, &Mode::name);
    return found == modes.end() ? 0 : found->number;
}

std::string_view macvlan_mode_name(std::uint32_t mode) {
    const auto* const found = std::ranges::find(modes, mode, &Mode::number);
    return found == modes.end() ? std::string_view() : found->name;
}

Result<std::int32_t> namespace_number(RtSocket& socket, int namespace_fd) {
    rtgenmsg header{};
    header.rtgen_family = AF_UNSPEC;
    RtMessage message(RTM_GETNSID, NLM_F_ACK, header);
    message.put_value(NETNSA_FD, static_cast<std::uint32_t>(namespace_fd));
    const auto replies = socket.request(std::move(message));
    if (!replies) {
        return fail_within("ask for the number of a network namespace", replies.error());
    }
    std::int32_t number = NETNSA_NSID_NOT_ASSIGNED;
    for (const auto& reply : *replies) {
        if (reply.type != RTM_NEWNSID || reply.payload.size() < NLMSG_ALIGN(sizeof(rtgenmsg))) {
            continue;
        }
        const auto attributes = std::span(reply.payload).subspan(NLMSG_ALIGN(sizeof(rtgenmsg)));
        const auto walked = for_each_attribute(attributes, [&](std::uint16_t type, auto value) {
            if (type == NETNSA_NSID) {
                number = attribute_value<std::int32_t>(value);
            }
        });
        if (!walked) {
            return std::unexpected(walked.error());
        }
    }
    return number;
}

}  // namespace podlane::cni
