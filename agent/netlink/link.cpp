// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/link.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace podlane::netlink {
namespace {

std::optional<VxlanSettings> decode_vxlan(const Attributes& link_info) {
    const auto data = link_info.nested(IFLA_INFO_DATA);
    return VxlanSettings{
        .external = data.u8(IFLA_VXLAN_COLLECT_METADATA).value_or(0) != 0,
        .port = data.port(IFLA_VXLAN_PORT).value_or(0),
        .vni = data.u32(IFLA_VXLAN_ID).value_or(0),
        .learning = data.u8(IFLA_VXLAN_LEARNING).value_or(0) != 0,
        .local = data.address(IFLA_VXLAN_LOCAL),
        .lower = data.u32(IFLA_VXLAN_LINK).value_or(0),
        .udp_checksum = data.u8(IFLA_VXLAN_UDP_CSUM).value_or(1) != 0,
    };
}

std::string describe(const LinkChange& change) {
    std::vector<std::string> words;
    if (change.state) {
        words.emplace_back(*change.state == AdminState::up ? "up" : "down");
    }
    if (change.arp) {
        words.emplace_back(*change.arp == ArpUse::on ? "arp" : "noarp");
    }
    if (change.mtu) {
        words.push_back(fmt::format("mtu {}", *change.mtu));
    }
    if (change.mac) {
        words.push_back(fmt::format("address {}", *change.mac));
    }
    if (change.alias) {
        words.push_back(fmt::format("alias \"{}\"", *change.alias));
    }
    return fmt::format("{}", fmt::join(words, ", "));
}

Result<std::optional<Link>> find(Socket& socket, Message request) {
    std::optional<Link> found;
    const auto visit = [&](std::size_t, const nlmsghdr& message) { found = decode_link(message); };
    const auto results = socket.query(std::span(&request, 1), visit);
    if (!results.front() && results.front().error().code != ENODEV) {
        return std::unexpected(results.front().error());
    }
    return found;
}

}  // namespace

bool Link::is_up() const {
    return (flags & IFF_UP) != 0;
}

bool Link::is_running() const {
    return (flags & IFF_RUNNING) != 0;
}

bool Link::is_no_arp() const {
    return (flags & IFF_NOARP) != 0;
}

bool Link::has_ethernet_header() const {
    return type == ARPHRD_ETHER;
}

Message create_external_vxlan(const ExternalVxlan& device) {
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(device.ifindex);
    header.ifi_flags = IFF_NOARP;
    header.ifi_change = IFF_NOARP;
    Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, header,
                    fmt::format("create link {} type vxlan external dstport {}", device.name, device.port));
    message.put_string(IFLA_IFNAME, device.name);
    message.put_mac(IFLA_ADDRESS, device.mac);
    message.put_u32(IFLA_MTU, device.mtu);
    message.put_nested(IFLA_LINKINFO, [&](Message& info) {
        info.put_string(IFLA_INFO_KIND, "vxlan");
        info.put_nested(IFLA_INFO_DATA, [&](Message& data) {
            data.put_u8(IFLA_VXLAN_COLLECT_METADATA, 1);
            data.put_u8(IFLA_VXLAN_LEARNING, 0);
            data.put_port(IFLA_VXLAN_PORT, device.port);
        });
    });
    return message;
}

Message create_plain_vxlan(const PlainVxlan& device) {
    const auto& settings = device.settings;
    Message message(
        RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{},
        fmt::format("create link {} type vxlan id {} dstport {}", device.name, settings.vni, settings.port));
    message.put_string(IFLA_IFNAME, device.name);
    message.put_mac(IFLA_ADDRESS, device.mac);
    message.put_u32(IFLA_MTU, device.mtu);
    message.put_nested(IFLA_LINKINFO, [&](Message& info) {
        info.put_string(IFLA_INFO_KIND, "vxlan");
        info.put_nested(IFLA_INFO_DATA, [&](Message& data) {
            data.put_u32(IFLA_VXLAN_ID, settings.vni);
            if (settings.lower != 0) {
                data.put_u32(IFLA_VXLAN_LINK, settings.lower);
            }
            if (settings.local) {
                data.put_address(IFLA_VXLAN_LOCAL, *settings.local);
            }
            data.put_u8(IFLA_VXLAN_LEARNING, settings.learning ? 1 : 0);
            data.put_u8(IFLA_VXLAN_UDP_CSUM, settings.udp_checksum ? 1 : 0);
            data.put_port(IFLA_VXLAN_PORT, settings.port);
        });
    });
    return message;
}

Message create_bridge_macvlan(const BridgeMacvlan& device) {
    Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{},
                    fmt::format("create link {} type macvlan mode bridge", device.name));
    message.put_string(IFLA_IFNAME, device.name);
    message.put_mac(IFLA_ADDRESS, device.mac);
    message.put_u32(IFLA_LINK, device.lower);
    if (device.mtu != 0) {
        message.put_u32(IFLA_MTU, device.mtu);
    }
    message.put_nested(IFLA_LINKINFO, [&](Message& info) {
        info.put_string(IFLA_INFO_KIND, "macvlan");
        info.put_nested(IFLA_INFO_DATA, [&](Message& data) { data.put_u32(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE); });
    });
    return message;
}

Message change_link(const Link& link, const LinkChange& change) {
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(link.ifindex);
    const auto set_flag = [&](std::uint32_t flag, bool on) {
        header.ifi_change |= flag;
        header.ifi_flags |= on ? flag : 0;
    };
    if (change.state) {
        set_flag(IFF_UP, *change.state == AdminState::up);
    }
    if (change.arp) {
        set_flag(IFF_NOARP, *change.arp == ArpUse::off);
    }
    Message message(RTM_NEWLINK, 0, header, fmt::format("change link {}: {}", link.name, describe(change)));
    if (change.mtu) {
        message.put_u32(IFLA_MTU, *change.mtu);
    }
    if (change.mac) {
        message.put_mac(IFLA_ADDRESS, *change.mac);
    }
    if (change.alias) {
        message.put_string(IFLA_IFALIAS, *change.alias);
    }
    return message;
}

Message delete_link(const Link& link) {
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(link.ifindex);
    return {RTM_DELLINK, 0, header, fmt::format("delete link {}", link.name)};
}

namespace {

// A request that a kernel with VXLAN refuses for the VNI in it, which is too large, before it makes anything.
Result<bool> ask_for_vxlan(Socket& socket) {
    constexpr std::uint32_t no_vni = 1U << 24U;
    Message request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{}, "ask for VXLAN devices");
    request.put_nested(IFLA_LINKINFO, [](Message& info) {
        info.put_string(IFLA_INFO_KIND, "vxlan");
        info.put_nested(IFLA_INFO_DATA, [](Message& data) { data.put_u32(IFLA_VXLAN_ID, no_vni); });
    });
    const auto refused = socket.execute(std::move(request));
    if (refused || refused.error().code == ERANGE || refused.error().code == EINVAL) {
        return true;
    }
    return refused.error().code == EOPNOTSUPP ? Result<bool>(false) : std::unexpected(refused.error());
}

}  // namespace

// While somebody else has the module loaded the kernel's own request for it may come back before it is there.
Result<bool> supports_vxlan(Socket& socket) {
    constexpr int attempts = 6;
    auto supported = ask_for_vxlan(socket);
    for (int attempt = 1; attempt < attempts && supported && !*supported; ++attempt) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        supported = ask_for_vxlan(socket);
    }
    return supported;
}

Result<std::vector<Link>> list_links(Socket& socket) {
    return socket.dump(Message(RTM_GETLINK, 0, ifinfomsg{}, "list links"), &decode_link);
}

Result<std::optional<Link>> find_link(Socket& socket, std::string_view name) {
    Message request(RTM_GETLINK, 0, ifinfomsg{}, fmt::format("find link {}", name));
    request.put_string(IFLA_IFNAME, name);
    return find(socket, std::move(request));
}

Result<std::optional<Link>> find_link(Socket& socket, std::uint32_t ifindex) {
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(ifindex);
    return find(socket, Message(RTM_GETLINK, 0, header, fmt::format("find link #{}", ifindex)));
}

std::optional<Link> decode_link(const nlmsghdr& message) {
    const auto* header = header_of<ifinfomsg>(message);
    if ((message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) || header == nullptr ||
        header->ifi_family != AF_UNSPEC) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(ifinfomsg));
    const auto info = attributes.nested(IFLA_LINKINFO);
    Link link;
    link.ifindex = static_cast<std::uint32_t>(header->ifi_index);
    link.name = attributes.string(IFLA_IFNAME).value_or("");
    link.kind = info.string(IFLA_INFO_KIND).value_or("");
    link.type = header->ifi_type;
    link.flags = header->ifi_flags;
    link.mtu = attributes.u32(IFLA_MTU).value_or(0);
    link.mac = attributes.mac(IFLA_ADDRESS);
    link.alias = attributes.string(IFLA_IFALIAS).value_or("");
    link.master = attributes.u32(IFLA_MASTER).value_or(0);
    link.link = attributes.u32(IFLA_LINK).value_or(0);
    link.link_netnsid =
        attributes.u32(IFLA_LINK_NETNSID).transform([](std::uint32_t id) { return static_cast<std::int32_t>(id); });
    if (link.kind == "vxlan") {
        link.vxlan = decode_vxlan(info);
    }
    if (link.kind == "macvlan") {
        link.macvlan_mode = info.nested(IFLA_INFO_DATA).u32(IFLA_MACVLAN_MODE);
    }
    return link;
}

}  // namespace podlane::netlink
