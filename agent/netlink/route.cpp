// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/route.h"

#include <fmt/format.h>

namespace podlane::netlink {
namespace {

std::string_view type_name(std::uint8_t type) {
    switch (type) {
        case RTN_UNICAST:
            return "";
        case RTN_LOCAL:
            return "local ";
        case RTN_BROADCAST:
            return "broadcast ";
        case RTN_BLACKHOLE:
            return "blackhole ";
        case RTN_UNREACHABLE:
            return "unreachable ";
        case RTN_PROHIBIT:
            return "prohibit ";
        case RTN_THROW:
            return "throw ";
        default:
            return "other ";
    }
}

Message request(std::uint16_t type, std::uint16_t flags, const Route& route, std::string_view verb) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length());
    header.rtm_table = static_cast<std::uint8_t>(route.table < 256 ? route.table : RT_TABLE_UNSPEC);
    header.rtm_protocol = route.protocol;
    header.rtm_scope = route.scope;
    header.rtm_type = route.type;
    header.rtm_flags = route.on_link ? RTNH_F_ONLINK : 0U;
    Message message(type, flags, header, fmt::format("{} route {}", verb, route));
    message.put_address(RTA_DST, route.destination.address());
    message.put_u32(RTA_TABLE, route.table);
    if (route.metric != 0) {
        message.put_u32(RTA_PRIORITY, route.metric);
    }
    if (route.oif != 0) {
        message.put_u32(RTA_OIF, route.oif);
    }
    if (route.gateway) {
        message.put_address(RTA_GATEWAY, *route.gateway);
    }
    if (route.source) {
        message.put_address(RTA_PREFSRC, *route.source);
    }
    if (route.mtu != 0) {
        message.put_nested(RTA_METRICS, [&](Message& metrics) { metrics.put_u32(RTAX_MTU, route.mtu); });
    }
    return message;
}

}  // namespace

std::string Route::to_string() const {
    auto text = fmt::format("{}{}", type_name(type), destination);
    const auto append = [&](std::string_view word, const auto& value) { text += fmt::format(" {} {}", word, value); };
    if (gateway) {
        append("via", *gateway);
    }
    if (oif != 0) {
        text += fmt::format(" dev #{}", oif);
    }
    if (source) {
        append("src", *source);
    }
    if (metric != 0) {
        append("metric", metric);
    }
    if (mtu != 0) {
        append("mtu", mtu);
    }
    if (table != RT_TABLE_MAIN) {
        append("table", table);
    }
    return on_link ? text + " onlink" : text;
}

Message add_route(const Route& route) {
    return request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, "add");
}

Message replace_route(const Route& route) {
    return request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, "replace");
}

Message delete_route(const Route& route) {
    return request(RTM_DELROUTE, 0, route, "delete");
}

Result<std::vector<Route>> list_routes(Socket& socket, const RouteFilter& filter) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_protocol = filter.protocol;
    Message request(RTM_GETROUTE, 0, header, "list routes");
    if (filter.table != 0) {
        request.put_u32(RTA_TABLE, filter.table);
    }
    if (filter.oif != 0) {
        request.put_u32(RTA_OIF, filter.oif);
    }
    auto routes = socket.dump(std::move(request), &decode_route);
    if (!routes && routes.error().code == ENOENT) {
        return std::vector<Route>{};  // the table holds no route, so it does not exist
    }
    if (routes) {
        std::erase_if(*routes, [&](const Route& route) {
            return (filter.protocol != 0 && route.protocol != filter.protocol) ||
                   (filter.table != 0 && route.table != filter.table) || (filter.oif != 0 && route.oif != filter.oif);
        });
    }
    return routes;
}

std::optional<Route> decode_route(const nlmsghdr& message) {
    const auto* header = header_of<rtmsg>(message);
    if ((message.nlmsg_type != RTM_NEWROUTE && message.nlmsg_type != RTM_DELROUTE) || header == nullptr ||
        header->rtm_family != AF_INET || (header->rtm_flags & RTM_F_CLONED) != 0 || header->rtm_dst_len > 32) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(rtmsg));
    Route route;
    route.destination = Ipv4Prefix::masked(attributes.address(RTA_DST).value_or(Ipv4Address{}), header->rtm_dst_len);
    route.type = header->rtm_type;
    route.oif = attributes.u32(RTA_OIF).value_or(0);
    route.gateway = attributes.address(RTA_GATEWAY);
    route.source = attributes.address(RTA_PREFSRC);
    route.scope = header->rtm_scope;
    route.protocol = header->rtm_protocol;
    route.metric = attributes.u32(RTA_PRIORITY).value_or(0);
    route.table = attributes.u32(RTA_TABLE).value_or(header->rtm_table);
    route.on_link = (header->rtm_flags & RTNH_F_ONLINK) != 0;
    route.mtu = attributes.nested(RTA_METRICS).u32(RTAX_MTU).value_or(0);
    return route;
}

}  // namespace podlane::netlink
