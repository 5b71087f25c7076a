// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/neighbour.h"

#include <linux/rtnetlink.h>

#include <fmt/format.h>

namespace podlane::netlink {
namespace {

Message request(std::uint16_t type, std::uint16_t flags, const Neighbour& neighbour, std::string_view verb) {
    ndmsg header{};
    header.ndm_family = AF_INET;
    header.ndm_ifindex = static_cast<int>(neighbour.ifindex);
    header.ndm_state = neighbour.state;
    header.ndm_flags = neighbour.flags;
    Message message(type, flags, header, fmt::format("{} neighbour {}", verb, neighbour));
    message.put_address(NDA_DST, neighbour.address);
    return message;
}

// NDTA_THRESH3 of RTM_NEWNEIGHTBL; the messages about single devices' parameters have none.
std::optional<std::uint32_t> decode_limit(const nlmsghdr& message) {
    const auto* header = header_of<ndtmsg>(message);
    if (message.nlmsg_type != RTM_NEWNEIGHTBL || header == nullptr || header->ndtm_family != AF_INET) {
        return std::nullopt;
    }
    return Attributes(message, sizeof(ndtmsg)).u32(NDTA_THRESH3);
}

}  // namespace

std::string Neighbour::to_string() const {
    const auto where = fmt::format("{} dev #{}", address, ifindex);
    return mac ? fmt::format("{} lladdr {}", where, *mac) : where;
}

Message replace_neighbour(const Neighbour& neighbour) {
    auto message = request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, neighbour, "set");
    if (neighbour.mac) {
        message.put_mac(NDA_LLADDR, *neighbour.mac);
    }
    if (neighbour.protocol != 0) {
        message.put_u8(NDA_PROTOCOL, neighbour.protocol);
    }
    return message;
}

Message delete_neighbour(const Neighbour& neighbour) {
    return request(RTM_DELNEIGH, 0, neighbour, "delete");
}

Result<std::vector<Neighbour>> list_neighbours(Socket& socket, std::uint32_t ifindex) {
    ndmsg header{};
    header.ndm_family = AF_INET;
    Message request(RTM_GETNEIGH, 0, header, "list neighbours");
    if (ifindex != 0) {
        request.put_u32(NDA_IFINDEX, ifindex);
    }
    auto neighbours = socket.dump(std::move(request), &decode_neighbour);
    if (neighbours && ifindex != 0) {
        std::erase_if(*neighbours, [&](const Neighbour& neighbour) { return neighbour.ifindex != ifindex; });
    }
    return neighbours;
}

Result<std::uint32_t> neighbour_limit(Socket& socket) {
    ndtmsg header{};
    header.ndtm_family = AF_INET;
    const auto limits = socket.dump(Message(RTM_GETNEIGHTBL, 0, header, "read the ARP table's limits"), &decode_limit);
    if (!limits) {
        return std::unexpected(limits.error());
    }
    if (limits->empty()) {
        return fail("read the ARP table's limits: the kernel tells none");
    }
    return limits->front();
}

std::optional<Neighbour> decode_neighbour(const nlmsghdr& message) {
    const auto* header = header_of<ndmsg>(message);
    if ((message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) || header == nullptr ||
        header->ndm_family != AF_INET) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(ndmsg));
    return attributes.address(NDA_DST).transform([&](Ipv4Address address) {
        return Neighbour{.ifindex = static_cast<std::uint32_t>(header->ndm_ifindex),
                         .address = address,
                         .mac = attributes.mac(NDA_LLADDR),
                         .state = header->ndm_state,
                         .flags = header->ndm_flags,
                         .protocol = attributes.u8(NDA_PROTOCOL).value_or(0)};
    });
}

}  // namespace podlane::netlink
