// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/row.h"

#include <linux/if_addr.h>

#include <algorithm>
#include <cstring>
#include <span>

#include <fmt/format.h>

namespace podlane::netlink {
namespace {

// Flags of an address that the kernel works out itself.
constexpr std::uint32_t derived_flags =
    IFA_F_SECONDARY | IFA_F_PERMANENT | IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;

template <typename Header>
Header header_in(const Row& row) {
    Header header{};
    std::memcpy(&header, mnl_nlmsg_get_payload(&row.raw()), sizeof(header));
    return header;
}

// All attributes of the row but those that `left_out` names, as they are.
template <typename Header>
void copy_attributes(const Row& row, const std::set<std::uint16_t>& left_out, Message& to) {
    const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&row.raw(), sizeof(Header)));
    const auto* const end = reinterpret_cast<const std::byte*>(&row.raw()) + row.raw().nlmsg_len;
    const auto rest = [&] { return static_cast<int>(end - reinterpret_cast<const std::byte*>(attribute)); };
    for (; mnl_attr_ok(attribute, rest()); attribute = mnl_attr_next(attribute)) {
        if (!left_out.contains(mnl_attr_get_type(attribute))) {
            to.put_bytes(attribute->nla_type, {static_cast<const std::byte*>(mnl_attr_get_payload(attribute)),
                                               mnl_attr_get_payload_len(attribute)});
        }
    }
}

Message address_request(const AddressRow& row, std::uint32_t ifindex, std::uint16_t type, std::string_view verb) {
    auto header = header_in<ifaddrmsg>(row.row);
    header.ifa_index = ifindex;
    header.ifa_flags = static_cast<std::uint8_t>(header.ifa_flags & ~derived_flags);
    const std::uint16_t flags = type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    Message message(type, flags, header, fmt::format("{} address {} dev #{}", verb, row.address, ifindex));
    copy_attributes<ifaddrmsg>(row.row, {IFA_LABEL, IFA_FLAGS}, message);
    const Attributes attributes(row.row.raw(), sizeof(ifaddrmsg));
    if (const auto known = attributes.u32(IFA_FLAGS)) {
        message.put_u32(IFA_FLAGS, *known & ~derived_flags);
    }
    return message;
}

Message neighbour_request(const NeighbourRow& row, std::uint32_t ifindex, std::uint16_t type, std::string_view verb) {
    auto header = header_in<ndmsg>(row.row);
    header.ndm_ifindex = static_cast<int>(ifindex);
    const std::uint16_t flags = type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    auto named = row.neighbour;
    named.ifindex = ifindex;
    Message message(type, flags, header, fmt::format("{} neighbour {}", verb, named));
    copy_attributes<ndmsg>(row.row, {NDA_CACHEINFO, NDA_PROBES}, message);
    return message;
}

// The devices in RTA_MULTIPATH: a list of rtnexthop, each with attributes behind it.
std::set<std::uint32_t> devices_of_next_hops(const Attributes& attributes) {
    std::set<std::uint32_t> devices;
    auto rest = attributes.bytes(RTA_MULTIPATH).value_or(std::span<const std::byte>{});
    while (rest.size() >= sizeof(rtnexthop)) {
        rtnexthop next_hop{};
        std::memcpy(&next_hop, rest.data(), sizeof(next_hop));
        if (next_hop.rtnh_len < sizeof(next_hop)) {
            break;
        }
        devices.insert(static_cast<std::uint32_t>(next_hop.rtnh_ifindex));
        rest = rest.subspan(std::min<std::size_t>(rest.size(), RTNH_ALIGN(next_hop.rtnh_len)));
    }
    return devices;
}

}  // namespace

Row::Row(const nlmsghdr& message) : bytes_(message.nlmsg_len) {
    std::memcpy(bytes_.data(), &message, message.nlmsg_len);
}

std::optional<AddressRow> keep_address(const nlmsghdr& message) {
    const auto address = decode_address(message);
    if (!address) {
        return std::nullopt;
    }
    const auto flags = Attributes(message, sizeof(ifaddrmsg)).u32(IFA_FLAGS).value_or(0);
    return AddressRow{.address = *address, .has_prefix_route = (flags & IFA_F_NOPREFIXROUTE) == 0, .row = Row(message)};
}

std::optional<RouteRow> keep_route(const nlmsghdr& message) {
    auto route = decode_route(message);
    if (!route) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(rtmsg));
    return RouteRow{.route = *route,
                    .tos = header_of<rtmsg>(message)->rtm_tos,
                    .next_hops = devices_of_next_hops(attributes),
                    .by_object = attributes.has(RTA_NH_ID),
                    .row = Row(message)};
}

std::optional<NeighbourRow> keep_neighbour(const nlmsghdr& message) {
    const auto neighbour = decode_neighbour(message);
    if (!neighbour) {
        return std::nullopt;
    }
    return NeighbourRow{.neighbour = *neighbour, .row = Row(message)};
}

Result<Rows> list_rows(Socket& socket) {
    ifaddrmsg address{};
    address.ifa_family = AF_INET;
    auto addresses = socket.dump(Message(RTM_GETADDR, 0, address, "list addresses"), &keep_address);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    rtmsg route{};
    route.rtm_family = AF_INET;
    auto routes = socket.dump(Message(RTM_GETROUTE, 0, route, "list routes"), &keep_route);
    if (!routes) {
        return std::unexpected(routes.error());
    }
    ndmsg neighbour{};
    neighbour.ndm_family = AF_INET;
    auto neighbours = socket.dump(Message(RTM_GETNEIGH, 0, neighbour, "list neighbours"), &keep_neighbour);
    if (!neighbours) {
        return std::unexpected(neighbours.error());
    }
    return Rows{.addresses = std::move(*addresses), .routes = std::move(*routes), .neighbours = std::move(*neighbours)};
}

Message place(const AddressRow& row, std::uint32_t ifindex) {
    return address_request(row, ifindex, RTM_NEWADDR, "set");
}

Message remove(const AddressRow& row, std::uint32_t ifindex) {
    return address_request(row, ifindex, RTM_DELADDR, "delete");
}

// The kernel refuses flags that tell how a next hop is doing (RTNH_F_DEAD, RTNH_F_LINKDOWN).
Message place(const RouteRow& row, std::uint32_t ifindex) {
    auto header = header_in<rtmsg>(row.row);
    header.rtm_flags &= RTNH_F_ONLINK;
    auto named = row.route;
    named.oif = ifindex;
    Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, header, fmt::format("set route {}", named));
    copy_attributes<rtmsg>(row.row, {RTA_OIF, RTA_CACHEINFO}, message);
    message.put_u32(RTA_OIF, ifindex);
    return message;
}

Message place(const NeighbourRow& row, std::uint32_t ifindex) {
    return neighbour_request(row, ifindex, RTM_NEWNEIGH, "set");
}

Message remove(const NeighbourRow& row, std::uint32_t ifindex) {
    return neighbour_request(row, ifindex, RTM_DELNEIGH, "delete");
}

}  // namespace podlane::netlink
