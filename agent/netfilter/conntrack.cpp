// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/conntrack.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/netfilter/nft_message.h"
#include "agent/netlink/socket.h"

namespace podlane::netfilter {
namespace {

// What names an entry to the kernel, and its two ends.
struct Connection {
    Ipv4Address source;
    Ipv4Address destination;
    std::vector<std::byte> tuple;  // CTA_TUPLE_ORIG as the kernel wrote it
    std::optional<std::uint32_t> id;
    std::optional<std::uint16_t> zone;
};

constexpr std::uint16_t message_type(unsigned message) {
    return static_cast<std::uint16_t>((NFNL_SUBSYS_CTNETLINK << 8U) | message);
}

netlink::Message request(unsigned message, std::string label) {
    return {message_type(message), 0, nft::header_for(AF_INET), std::move(label)};
}

// Nothing: it is translated, or not an IPv4 connection.
std::optional<Connection> decode_plain(const nlmsghdr& message) {
    if (message.nlmsg_type != message_type(IPCTNL_MSG_CT_NEW) || netlink::header_of<nfgenmsg>(message) == nullptr) {
        return std::nullopt;
    }
    const netlink::Attributes attributes(message, sizeof(nfgenmsg));
    const auto status = attributes.network_u32(CTA_STATUS);
    const auto tuple = attributes.bytes(CTA_TUPLE_ORIG);
    const auto ends = attributes.nested(CTA_TUPLE_ORIG).nested(CTA_TUPLE_IP);
    const auto source = ends.address(CTA_IP_V4_SRC);
    const auto destination = ends.address(CTA_IP_V4_DST);
    if (!status || (*status & IPS_NAT_MASK) != 0 || !tuple || !source || !destination) {
        return std::nullopt;
    }
    return Connection{.source = *source,
                      .destination = *destination,
                      .tuple = {tuple->begin(), tuple->end()},
                      .id = attributes.network_u32(CTA_ID),
                      .zone = attributes.port(CTA_ZONE)};
}

// Without a tuple the kernel would forget all it has.
netlink::Message removal(const Connection& connection) {
    auto message = request(IPCTNL_MSG_CT_DELETE,
                           fmt::format("forget the connection {} to {}", connection.source, connection.destination));
    message.put_bytes(CTA_TUPLE_ORIG | NLA_F_NESTED, connection.tuple);
    if (connection.id) {
        message.put_network_u32(CTA_ID, *connection.id);
    }
    if (connection.zone) {
        message.put_port(CTA_ZONE, *connection.zone);
    }
    return message;
}

// Nobody registered for netfilter's protocol, or for conntrack's part of it.
bool means_no_conntrack(const Error& error) {
    return error.code == EPROTONOSUPPORT || error.code == EINVAL || error.code == EOPNOTSUPP;
}

// It ended meanwhile; or it is in a flow table (some kernels refuse then), whose connections conntrack knows about.
bool is_no_trouble(const Error& error) {
    return error.code == ENOENT || error.code == EBUSY;
}

}  // namespace

Result<std::size_t> forget_plain_connections(const std::set<Ipv4Address>& pods) {
    auto socket = netlink::Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return means_no_conntrack(socket.error()) ? Result<std::size_t>(0) : std::unexpected(socket.error());
    }
    const auto connections = socket->dump(request(IPCTNL_MSG_CT_GET, "list the connections"), decode_plain);
    if (!connections) {
        return means_no_conntrack(connections.error()) ? Result<std::size_t>(0) : std::unexpected(connections.error());
    }
    std::vector<netlink::Message> removals;
    for (const auto& connection : *connections) {
        if (pods.contains(connection.source) || pods.contains(connection.destination)) {
            removals.push_back(removal(connection));
        }
    }
    std::size_t forgotten = 0;
    for (const auto& done : socket->execute(removals)) {
        if (!done && !is_no_trouble(done.error())) {
            return std::unexpected(done.error());
        }
        forgotten += done ? 1 : 0;
    }
    return forgotten;
}

}  // namespace podlane::netfilter
