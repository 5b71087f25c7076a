// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/fdb.h"

#include <linux/rtnetlink.h>

#include <fmt/format.h>

namespace podlane::netlink {

std::string FdbEntry::to_string() const {
    const auto where = fmt::format("{} dev #{}", mac, ifindex);
    return remote ? fmt::format("{} dst {}", where, *remote) : where;
}

// The kernel's VXLAN refuses to replace what has several remotes (vxlan_fdb_update).
Message set_fdb_entry(const FdbEntry& entry) {
    ndmsg header{};
    header.ndm_family = AF_BRIDGE;
    header.ndm_ifindex = static_cast<int>(entry.ifindex);
    header.ndm_state = entry.state;
    header.ndm_flags = entry.flags;
    const auto mode = entry.mac.is_unicast() ? NLM_F_REPLACE : NLM_F_APPEND;
    Message message(RTM_NEWNEIGH, static_cast<std::uint16_t>(NLM_F_CREATE | mode), header,
                    fmt::format("set FDB entry {}", entry));
    message.put_mac(NDA_LLADDR, entry.mac);
    if (entry.remote) {
        message.put_address(NDA_DST, *entry.remote);
    }
    return message;
}

Result<std::vector<FdbEntry>> list_fdb(Socket& socket, std::uint32_t ifindex) {
    ndmsg header{};
    header.ndm_family = AF_BRIDGE;
    auto entries = socket.dump(Message(RTM_GETNEIGH, 0, header, "list FDB entries"), &decode_fdb_entry);
    if (entries && ifindex != 0) {
        std::erase_if(*entries, [&](const FdbEntry& entry) { return entry.ifindex != ifindex; });
    }
    return entries;
}

std::optional<FdbEntry> decode_fdb_entry(const nlmsghdr& message) {
    const auto* header = header_of<ndmsg>(message);
    if ((message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) || header == nullptr ||
        header->ndm_family != AF_BRIDGE) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(ndmsg));
    return attributes.mac(NDA_LLADDR).transform([&](const MacAddress& mac) {
        return FdbEntry{.ifindex = static_cast<std::uint32_t>(header->ndm_ifindex),
                        .mac = mac,
                        .remote = attributes.address(NDA_DST),
                        .state = header->ndm_state,
                        .flags = header->ndm_flags};
    });
}

}  // namespace podlane::netlink
