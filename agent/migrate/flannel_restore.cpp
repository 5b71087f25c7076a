// SPDX-License-Identifier: Apache-2.0
// The network put back on the node, what is missing of it.
#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/ranges.h>

#include "agent/link/flannel_device.h"
#include "agent/link/ownership.h"
#include "agent/migrate/flannel_network.h"
#include "agent/netlink/link.h"

namespace podlane::migrate {
namespace {

using netlink::Message;

constexpr int attempts = 6;
constexpr auto pause = std::chrono::milliseconds(100);  // between attempts

// What was done, for people: "add route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink".
using Lines = std::vector<std::string>;

// What two entries must have in common to be the same one, whatever they say.
bool have_one_key(const netlink::InterfaceAddress& a, const netlink::InterfaceAddress& b) {
    return a.address == b.address;
}
bool have_one_key(const netlink::FdbEntry& a, const netlink::FdbEntry& b) {
    return a.mac == b.mac;
}
bool have_one_key(const netlink::Neighbour& a, const netlink::Neighbour& b) {
    return a.address == b.address;
}
// Of podlane's own the place is free.
bool have_one_key(const netlink::Route& a, const netlink::Route& b) {
    return a.table == b.table && a.destination == b.destination && a.metric == b.metric && a.protocol != route_protocol;
}

Message on_device(Message message, std::uint32_t ifindex, const std::string& name) {
    auto label = message.label();
    const auto number = fmt::format("dev #{}", ifindex);
    if (const auto at = label.find(number); at != std::string::npos) {
        label.replace(at, number.size(), "dev " + name);
        message.relabel(std::move(label));
    }
    return message;
}

Result<std::uint32_t> index_of(netlink::Socket& socket, const std::string& name) {
    const auto link = netlink::find_link(socket, name);
    if (!link) {
        return std::unexpected(link.error());
    }
    return *link ? Result<std::uint32_t>((*link)->ifindex) : fail_errno(ENODEV, "find link {}", name);
}

// The device that has to go. Nothing: it has gone, or there never was one.
Result<std::optional<netlink::Link>> find_displaced(netlink::Socket& socket, const std::string& name) {
    if (name.empty()) {
        return std::nullopt;
    }
    auto link = netlink::find_link(socket, name);
    if (link && *link && !((*link)->vxlan && (*link)->vxlan->external)) {
        return fail("{} is no external VXLAN device, so it is not deleted", name);
    }
    return link;
}

// Makes the device, down, unless it is there.
Result<void> make_device(netlink::Socket& socket, const FlannelDevice& device, Lines& done) {
    const auto there = netlink::find_link(socket, device.name);
    if (!there) {
        return std::unexpected(there.error());
    }
    if (*there) {
        return is_flannel_device(**there, device.vni, device.port)
                   ? Result<void>()
                   : fail("{} is there, but no VXLAN device with VNI {} and port {}", device.name, device.vni,
                          device.port);
    }
    netlink::PlainVxlan wanted{.name = device.name,
                               .settings = {.port = device.port,
                                            .vni = device.vni,
                                            .learning = device.learning,
                                            .local = device.local,
                                            .udp_checksum = device.udp_checksum},
                               .mac = device.mac,
                               .mtu = device.mtu};
    if (!device.lower.empty()) {
        const auto lower = index_of(socket, device.lower);
        if (!lower) {
            return fail_within(fmt::format("make {}", device.name), lower.error());
        }
        wanted.settings.lower = *lower;
    }
    auto request = netlink::create_plain_vxlan(wanted);
    auto line = request.label();
    auto made = socket.execute(std::move(request));
    if (made) {
        done.push_back(std::move(line));
    }
    return made;
}

// What the kernel has now.
struct Actual {
    netlink::Link link;
    FlannelNetwork network;              // without routes
    std::vector<netlink::Route> routes;  // of all devices and tables
    std::optional<netlink::Link> displaced;
};

Result<Actual> read_actual(netlink::Socket& socket, const std::string& device, const std::string& displaced) {
    auto link = netlink::find_link(socket, device);
    if (!link) {
        return std::unexpected(link.error());
    }
    auto network = read_flannel_network(socket, device);
    if (!network) {
        return std::unexpected(network.error());
    }
    if (!*link || !*network) {
        return fail_errno(ENODEV, "find link {}", device);
    }
    auto routes = netlink::list_routes(socket, {});
    if (!routes) {
        return std::unexpected(routes.error());
    }
    auto gone = find_displaced(socket, displaced);
    if (!gone) {
        return std::unexpected(gone.error());
    }
    return Actual{std::move(**link), std::move(**network), std::move(*routes), std::move(*gone)};
}

// Requests in the order in which they have to be carried out, for what the kernel lacks of `wanted`.
class Missing {
public:
    Missing(netlink::Socket& socket, const FlannelNetwork& wanted, const Actual& actual)
        : socket_(socket), wanted_(wanted), actual_(actual), link_(actual.link) {}

    [[nodiscard]] Result<std::vector<Message>> requests() {
        add_what_needs_no_link_up();
        if (actual_.displaced) {
            add(netlink::delete_link(*actual_.displaced));
        }
        if (!link_.is_up()) {
            add(netlink::change_link(link_, {.state = netlink::AdminState::up}));
        }
        add_neighbours();
        if (auto added = add_routes(); !added) {
            return std::unexpected(added.error());
        }
        return std::move(requests_);
    }

private:
    void add(Message request) { requests_.push_back(on_device(std::move(request), link_.ifindex, link_.name)); }

    // As flannel has it: its daemon may be back, and what it says of a peer is newer than the record.
    [[nodiscard]] bool is_alive() const { return link_.is_up() && has_its_mac(); }
    template <typename T>
    [[nodiscard]] bool holds(const std::vector<T>& entries, const T& entry) const {
        return std::ranges::any_of(
            entries, [&](const T& one) { return one == entry || (is_alive() && have_one_key(one, entry)); });
    }
    [[nodiscard]] bool has_its_mac() const { return link_.mac == wanted_.device.mac; }

    // FDB entries and addresses stay when a device goes down or gets another MAC.
    void add_what_needs_no_link_up() {
        netlink::LinkChange change;
        if (!has_its_mac()) {
            change.mac = wanted_.device.mac;
        }
        if (link_.mtu != wanted_.device.mtu) {
            change.mtu = wanted_.device.mtu;
        }
        if (!change.empty()) {
            add(netlink::change_link(link_, change));
        }
        for (auto address : wanted_.addresses) {
            if (!holds(actual_.network.addresses, address)) {
                address.ifindex = link_.ifindex;
                add(netlink::replace_address(address));
            }
        }
        for (auto entry : wanted_.fdb) {
            if (!holds(actual_.network.fdb, entry)) {
                entry.ifindex = link_.ifindex;
                add(netlink::set_fdb_entry(entry));
            }
        }
    }

    // The kernel drops them, permanent ones as well, where the MAC changes or the device goes down.
    void add_neighbours() {
        for (auto entry : wanted_.neighbours) {
            if (!has_its_mac() || !holds(actual_.network.neighbours, entry)) {
                entry.ifindex = link_.ifindex;
                add(netlink::replace_neighbour(entry));
            }
        }
    }

    // Replacing: podlane may have one to the same pods.
    [[nodiscard]] Result<void> add_routes() {
        for (const auto& [device, route] : wanted_.routes) {
            auto placed = route;
            const auto ifindex =
                device == link_.name ? Result<std::uint32_t>(link_.ifindex) : index_of(socket_, device);
            if (!ifindex) {
                return fail_within(fmt::format("add route {}", route), ifindex.error());
            }
            placed.oif = *ifindex;
            if (!holds(actual_.routes, placed)) {
                requests_.push_back(on_device(netlink::replace_route(placed), *ifindex, device));
            }
        }
        return {};
    }

    netlink::Socket& socket_;
    const FlannelNetwork& wanted_;
    const Actual& actual_;
    const netlink::Link& link_;
    std::vector<Message> requests_{};
};

// In one go, so that the device is not up for long without its routes. The first failure stops none of the others: what
// stands after it is tried, too.
Result<void> carry_out(netlink::Socket& socket, std::vector<Message> requests, Lines& done) {
    Lines lines;
    for (const auto& request : requests) {
        lines.push_back(request.label());
    }
    Result<void> all;
    const auto results = socket.execute(requests);
    for (std::size_t index = 0; index < results.size(); ++index) {
        if (results[index]) {
            done.push_back(std::move(lines[index]));
        } else if (all) {
            all = results[index];
        }
    }
    return all;
}

Result<void> put_what_is_missing(netlink::Socket& socket, const FlannelNetwork& network, const std::string& displaced,
                                 Lines& done) {
    const auto actual = read_actual(socket, network.device.name, displaced);
    if (!actual) {
        return std::unexpected(actual.error());
    }
    auto requests = Missing(socket, network, *actual).requests();
    if (!requests) {
        return std::unexpected(requests.error());
    }
    return carry_out(socket, std::move(*requests), done);
}

Result<void> restore_all(netlink::Socket& socket, const FlannelNetwork& network, const std::string& displaced,
                         Lines& done) {
    if (const auto found = find_displaced(socket, displaced); !found) {
        return std::unexpected(found.error());
    }
    if (auto made = make_device(socket, network.device, done); !made) {
        return made;
    }
    for (int attempt = 1;; ++attempt) {
        auto put = put_what_is_missing(socket, network, displaced, done);
        if (put || put.error().code != EADDRINUSE || attempt == attempts) {
            return put;
        }
        std::this_thread::sleep_for(pause);
    }
}

}  // namespace

Result<std::vector<std::string>> restore(netlink::Socket& socket, const FlannelNetwork& network,
                                         const std::string& displaced) {
    Lines done;
    const auto restored = restore_all(socket, network, displaced, done);
    if (restored) {
        return done;
    }
    const auto& [code, message] = restored.error();
    return std::unexpected(
        Error{code, done.empty() ? message : fmt::format("{} (done: {})", message, fmt::join(done, "; "))});
}

}  // namespace podlane::migrate
