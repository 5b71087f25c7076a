// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/interface_address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <fmt/format.h>

namespace podlane::netlink {
namespace {

Message request(std::uint16_t type, std::uint16_t flags, const InterfaceAddress& address, std::string_view verb) {
    ifaddrmsg header{};
    header.ifa_family = AF_INET;
    header.ifa_prefixlen = address.prefix_length;
    header.ifa_scope = address.scope;
    header.ifa_index = address.ifindex;
    Message message(type, flags, header, fmt::format("{} address {} dev #{}", verb, address, address.ifindex));
    message.put_address(IFA_LOCAL, address.address);
    message.put_address(IFA_ADDRESS, address.address);
    return message;
}

}  // namespace

std::string InterfaceAddress::to_string() const {
    return fmt::format("{}/{}", address, prefix_length);
}

Message replace_address(const InterfaceAddress& address) {
    return request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address, "set");
}

Message delete_address(const InterfaceAddress& address) {
    return request(RTM_DELADDR, 0, address, "delete");
}

Result<std::vector<InterfaceAddress>> list_addresses(Socket& socket, std::uint32_t ifindex) {
    ifaddrmsg header{};
    header.ifa_family = AF_INET;
    header.ifa_index = ifindex;
    auto addresses = socket.dump(Message(RTM_GETADDR, 0, header, "list addresses"), &decode_address);
    if (addresses && ifindex != 0) {
        std::erase_if(*addresses, [&](const InterfaceAddress& address) { return address.ifindex != ifindex; });
    }
    return addresses;
}

std::optional<InterfaceAddress> decode_address(const nlmsghdr& message) {
    const auto* header = header_of<ifaddrmsg>(message);
    if ((message.nlmsg_type != RTM_NEWADDR && message.nlmsg_type != RTM_DELADDR) || header == nullptr ||
        header->ifa_family != AF_INET) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(ifaddrmsg));
    // On a point-to-point device IFA_ADDRESS is the other end.
    const auto local = attributes.address(IFA_LOCAL).or_else([&] { return attributes.address(IFA_ADDRESS); });
    return local.transform([&](Ipv4Address address) {
        return InterfaceAddress{.ifindex = header->ifa_index,
                                .address = address,
                                .prefix_length = header->ifa_prefixlen,
                                .scope = header->ifa_scope};
    });
}

}  // namespace podlane::netlink
