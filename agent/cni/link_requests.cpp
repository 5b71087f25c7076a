// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/link_requests.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <sys/socket.h>

namespace podlane::cni {
namespace {

constexpr std::uint16_t create_flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;

// The rest of a fixed header is zero: the default of the kernel.
ifinfomsg link_header(int index, unsigned flags = 0, unsigned change = 0) {
    ifinfomsg header{};
    header.ifi_family = AF_UNSPEC;
    header.ifi_index = index;
    header.ifi_flags = flags;
    header.ifi_change = change;
    return header;
}

rtmsg route_header(unsigned prefix_length, unsigned char scope) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_dst_len = static_cast<unsigned char>(prefix_length);
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = RTPROT_BOOT;
    header.rtm_scope = scope;
    header.rtm_type = RTN_UNICAST;
    return header;
}

void put_side(RtMessage& message, const std::string& name, const MacAddress& mac, unsigned mtu) {
    message.put_string(IFLA_IFNAME, name);
    message.put_value(IFLA_ADDRESS, mac.bytes());
    message.put_value(IFLA_MTU, std::uint32_t{mtu});
}

template <typename Header>
std::optional<Header> read_header(const RtReply& reply) {
    if (reply.payload.size() < NLMSG_ALIGN(sizeof(Header))) {
        return std::nullopt;
    }
    Header header{};
    std::memcpy(&header, reply.payload.data(), sizeof(header));
    return header;
}

template <typename Header>
std::span<const std::byte> attributes_of(const RtReply& reply) {
    return std::span(reply.payload).subspan(NLMSG_ALIGN(sizeof(Header)));
}

Result<void> read_link_info(std::span<const std::byte> bytes, LinkInfo& link) {
    Result<void> nested;
    const auto walked = for_each_attribute(bytes, [&](std::uint16_t type, auto value) {
        if (type == IFLA_INFO_KIND) {
            link.kind = attribute_string(value);
        } else if (type == IFLA_INFO_SLAVE_KIND) {
            link.port_kind = attribute_string(value);
        } else if (type == IFLA_INFO_DATA && link.kind == "macvlan") {
            nested = for_each_attribute(value, [&](std::uint16_t inner, auto number) {
                if (inner == IFLA_MACVLAN_MODE) {
                    link.macvlan_mode = attribute_value<std::uint32_t>(number);
                }
            });
        }
    });
    return walked ? nested : walked;
}

Result<LinkInfo> read_link(const RtReply& reply) {
    const auto header = read_header<ifinfomsg>(reply);
    if (!header) {
        return fail("netlink: a link of {} bytes", reply.payload.size());
    }
    LinkInfo link;
    link.index = header->ifi_index;
    link.up = (header->ifi_flags & IFF_UP) != 0;
    link.loopback = (header->ifi_flags & IFF_LOOPBACK) != 0;
    link.carrier = (header->ifi_flags & IFF_LOWER_UP) != 0;
    link.ethernet = header->ifi_type == ARPHRD_ETHER;
    Result<void> nested;
    const auto walked = for_each_attribute(attributes_of<ifinfomsg>(reply), [&](std::uint16_t type, auto value) {
        if (type == IFLA_ADDRESS) {
            link.mac = MacAddress(attribute_value<std::array<std::uint8_t, 6>>(value));
        } else if (type == IFLA_MTU) {
            link.mtu = attribute_value<std::uint32_t>(value);
        } else if (type == IFLA_IFALIAS) {
            link.alias = attribute_string(value);
        } else if (type == IFLA_IFNAME) {
            link.name = attribute_string(value);
        } else if (type == IFLA_LINK) {
            link.link_index = attribute_value<std::int32_t>(value);
        } else if (type == IFLA_LINK_NETNSID) {
            link.link_namespace = attribute_value<std::int32_t>(value);
        } else if (type == IFLA_MASTER) {
            link.port_of = attribute_value<std::int32_t>(value);
        } else if (type == IFLA_LINKINFO) {
            nested = read_link_info(value, link);
        }
    });
    if (!walked || !nested) {
        return std::unexpected(walked ? nested.error() : walked.error());
    }
    // A device whose own index is that of its link is not told the latter (kernels before 5.11).
    if (link.link_index == 0 && link.link_namespace) {
        link.link_index = link.index;
    }
    return link;
}

Result<std::optional<LinkInfo>> ask_for_link(RtSocket& socket, RtMessage message, const std::string& what) {
    const auto replies = socket.request(std::move(message));
    if (!replies && replies.error().code == ENODEV) {
        return std::optional<LinkInfo>();
    }
    if (!replies) {
        return fail_within("find " + what, replies.error());
    }
    for (const auto& reply : *replies) {
        if (reply.type == RTM_NEWLINK) {
            const auto link = read_link(reply);
            return link ? Result<std::optional<LinkInfo>>(*link) : std::unexpected(link.error());
        }
    }
    return fail("find {}: the kernel answered nothing", what);
}

}  // namespace

RtMessage create_veth_request(const Endpoint& endpoint, int sandbox_fd) {
    RtMessage message(RTM_NEWLINK, create_flags, link_header(0));
    put_side(message, endpoint.host_interface, endpoint.host_mac, endpoint.mtu);
    const auto link_info = message.open(IFLA_LINKINFO);
    message.put_string(IFLA_INFO_KIND, "veth");
    const auto data = message.open(IFLA_INFO_DATA);
    const auto peer = message.open(VETH_INFO_PEER);
    message.append(link_header(0));
    put_side(message, endpoint.if_name, endpoint.mac, endpoint.mtu);
    message.put_value(IFLA_NET_NS_FD, static_cast<std::uint32_t>(sandbox_fd));
    message.close(peer);
    message.close(data);
    message.close(link_info);
    return message;
}

RtMessage delete_link_request(int index) {
    return RtMessage(RTM_DELLINK, NLM_F_ACK, link_header(index));
}

RtMessage bring_up_request(int index, const std::string& alias) {
    RtMessage message(RTM_SETLINK, NLM_F_ACK, link_header(index, IFF_UP, IFF_UP));
    if (!alias.empty()) {
        message.put(IFLA_IFALIAS, std::as_bytes(std::span(alias)));
    }
    return message;
}

RtMessage add_address_request(int index, Ipv4Address address, unsigned prefix_length) {
    ifaddrmsg header{};
    header.ifa_family = AF_INET;
    header.ifa_prefixlen = static_cast<unsigned char>(prefix_length);
    header.ifa_scope = RT_SCOPE_UNIVERSE;
    header.ifa_index = static_cast<unsigned>(index);
    RtMessage message(RTM_NEWADDR, create_flags, header);
    message.put_value(IFA_LOCAL, address.wire());
    message.put_value(IFA_ADDRESS, address.wire());
    // A net of two has none (RFC 3021).
    if (prefix_length < 31) {
        const auto hosts = ~Ipv4Prefix::masked(address, prefix_length).mask_host();
        message.put_value(IFA_BROADCAST, Ipv4Address::from_host(address.host() | hosts).wire());
    }
    return message;
}

RtMessage add_gateway_route_request(int index, Ipv4Address gateway) {
    RtMessage message(RTM_NEWROUTE, create_flags, route_header(32, RT_SCOPE_LINK));
    message.put_value(RTA_DST, gateway.wire());
    message.put_value(RTA_OIF, index);
    return message;
}

RtMessage add_route_request(int index, const Route& route, Ipv4Address default_gateway, const Ipv4Prefix& subnet) {
    const unsigned scope = route.scope.value_or(RT_SCOPE_UNIVERSE);
    auto header = route_header(route.destination.length(), static_cast<unsigned char>(scope));
    const Ipv4Address gateway = route.gateway.value_or(default_gateway);
    header.rtm_flags = gateway.is_unspecified() || subnet.contains(gateway) ? 0U : RTNH_F_ONLINK;
    RtMessage message(RTM_NEWROUTE, create_flags, header);
    message.put_value(RTA_DST, route.destination.address().wire());
    if (!gateway.is_unspecified()) {
        message.put_value(RTA_GATEWAY, gateway.wire());
    }
    message.put_value(RTA_OIF, index);
    if (route.priority) {
        message.put_value(RTA_PRIORITY, std::uint32_t{*route.priority});
    }
    if (route.table) {
        message.put_value(RTA_TABLE, std::uint32_t{*route.table});
    }
    if (route.mtu || route.advmss) {
        const auto metrics = message.open(RTA_METRICS);
        if (route.mtu) {
            message.put_value(RTAX_MTU, std::uint32_t{*route.mtu});
        }
        if (route.advmss) {
            message.put_value(RTAX_ADVMSS, std::uint32_t{*route.advmss});
        }
        message.close(metrics);
    }
    return message;
}

RtMessage delete_route_request(int index, const Route& route) {
    auto header = route_header(route.destination.length(), RT_SCOPE_NOWHERE);  // any scope
    RtMessage message(RTM_DELROUTE, NLM_F_ACK, header);
    message.put_value(RTA_DST, route.destination.address().wire());
    if (route.gateway) {
        message.put_value(RTA_GATEWAY, route.gateway->wire());
    }
    message.put_value(RTA_OIF, index);
    return message;
}

Result<std::optional<LinkInfo>> find_link(RtSocket& socket, const std::string& name) {
    RtMessage message(RTM_GETLINK, NLM_F_ACK, link_header(0));
    message.put_string(IFLA_IFNAME, name);
    return ask_for_link(socket, std::move(message), "interface " + name);
}

Result<std::optional<LinkInfo>> find_link(RtSocket& socket, int index) {
    return ask_for_link(socket, RtMessage(RTM_GETLINK, NLM_F_ACK, link_header(index)),
                        fmt::format("interface {}", index));
}

Result<std::vector<AddressInfo>> list_addresses(RtSocket& socket, std::optional<int> index) {
    ifaddrmsg request{};
    request.ifa_family = AF_INET;
    const auto replies = socket.request(RtMessage(RTM_GETADDR, NLM_F_DUMP, request));
    if (!replies) {
        return fail_within("list addresses", replies.error());
    }
    std::vector<AddressInfo> addresses;
    for (const auto& reply : *replies) {
        const auto header = read_header<ifaddrmsg>(reply);
        const bool wanted = header && (!index || header->ifa_index == static_cast<unsigned>(*index));
        if (!wanted || reply.type != RTM_NEWADDR) {
            continue;
        }
        AddressInfo info{{}, header->ifa_prefixlen};
        const auto walked = for_each_attribute(attributes_of<ifaddrmsg>(reply), [&](std::uint16_t type, auto value) {
            if (type == IFA_LOCAL) {
                info.address = Ipv4Address::from_wire(attribute_value<std::uint32_t>(value));
            }
        });
        if (!walked) {
            return std::unexpected(walked.error());
        }
        addresses.push_back(info);
    }
    return addresses;
}

Result<std::vector<RouteInfo>> list_routes(RtSocket& socket) {
    rtmsg request{};
    request.rtm_family = AF_INET;
    const auto replies = socket.request(RtMessage(RTM_GETROUTE, NLM_F_DUMP, request));
    if (!replies) {
        return fail_within("list routes", replies.error());
    }
    std::vector<RouteInfo> routes;
    for (const auto& reply : *replies) {
        const auto header = read_header<rtmsg>(reply);
        if (!header || reply.type != RTM_NEWROUTE) {
            continue;
        }
        RouteInfo info;
        info.table = header->rtm_table;
        Ipv4Address destination;
        const auto walked = for_each_attribute(attributes_of<rtmsg>(reply), [&](std::uint16_t type, auto value) {
            if (type == RTA_DST) {
                destination = Ipv4Address::from_wire(attribute_value<std::uint32_t>(value));
            } else if (type == RTA_GATEWAY) {
                info.gateway = Ipv4Address::from_wire(attribute_value<std::uint32_t>(value));
            } else if (type == RTA_OIF) {
                info.out_index = attribute_value<std::int32_t>(value);
            } else if (type == RTA_TABLE) {
                info.table = attribute_value<std::uint32_t>(value);
            } else if (type == RTA_PRIORITY) {
                info.priority = attribute_value<std::uint32_t>(value);
            }
        });
        if (!walked) {
            return std::unexpected(walked.error());
        }
        info.destination = Ipv4Prefix::masked(destination, header->rtm_dst_len);
        routes.push_back(info);
    }
    return routes;
}

}  // namespace podlane::cni
