// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/host_move.h"

#include <algorithm>
#include <ranges>
#include <span>
#include <utility>

#include "agent/link/ownership.h"

namespace podlane {
namespace {

using netlink::AddressRow;
using netlink::NeighbourRow;
using netlink::RouteRow;
using netlink::Rows;

constexpr std::uint8_t global_scope = RT_SCOPE_UNIVERSE;

bool is_moved(const AddressRow& row, std::uint32_t from) {
    return row.address.ifindex == from && row.address.scope == global_scope;
}

// podlane's own are where they belong, or will be.
bool is_moved(const NeighbourRow& row, std::uint32_t from) {
    return row.neighbour.ifindex == from && (row.neighbour.state & NUD_PERMANENT) != 0 &&
           row.neighbour.protocol != route_protocol;
}

// The kernel makes it together with its address.
bool is_automatic(const RouteRow& row, const std::vector<const AddressRow*>& addresses) {
    const auto& route = row.route;
    return route.protocol == RTPROT_KERNEL && !route.gateway &&
           std::ranges::any_of(addresses, [&](const AddressRow* one) {
               const auto& address = one->address;
               return one->has_prefix_route && address.ifindex == route.oif && route.source == address.address &&
                      route.destination == Ipv4Prefix::masked(address.address, address.prefix_length);
           });
}

bool follows_addresses(const RouteRow& row) {
    return row.route.table == RT_TABLE_LOCAL || row.route.type == RTN_LOCAL || row.route.type == RTN_BROADCAST;
}

bool has_same_key(const RouteRow& a, const RouteRow& b) {
    return a.route.table == b.route.table && a.route.destination == b.route.destination &&
           a.route.metric == b.route.metric && a.tos == b.tos;
}

Result<void> check_route(const RouteRow& row, const Rows& rows, const MoveEnds& ends) {
    if (row.by_object) {
        return fail("route {}: its next hop is an object (ip nexthop) on {}; give the route a next hop of its own",
                    row.route.destination, ends.from.name);
    }
    const auto twin = std::ranges::find_if(rows.routes, [&](const RouteRow& other) {
        return has_same_key(row, other) && other.route.oif != ends.from.ifindex && other.route.oif != ends.to.ifindex;
    });
    if (twin != rows.routes.end()) {
        return fail("route {}: another device has one of the same metric; give one of the two another metric",
                    row.route.destination);
    }
    return {};
}

// Routes with several next hops, one of them by the device.
Result<void> check_next_hops(const Rows& rows, const MoveEnds& ends) {
    for (const auto& row : rows.routes) {
        if (row.next_hops.contains(ends.from.ifindex)) {
            return fail("route {}: it has several next hops, one of them by {}; give it one", row.route.destination,
                        ends.from.name);
        }
    }
    return {};
}

struct Movables {
    std::vector<const AddressRow*> addresses;
    std::vector<const RouteRow*> on_link;
    std::vector<const RouteRow*> by_gateway;  // which is looked for among the others
    std::vector<const NeighbourRow*> neighbours;
};

Result<Movables> find_movables(const Rows& rows, const MoveEnds& ends) {
    if (auto good = check_next_hops(rows, ends); !good) {
        return std::unexpected(good.error());
    }
    const auto from = ends.from.ifindex;
    Movables found;
    for (const auto& row : rows.addresses) {
        if (is_moved(row, from)) {
            found.addresses.push_back(&row);
        }
    }
    for (const auto& row : rows.routes) {
        if (row.route.oif != from || follows_addresses(row)) {
            continue;
        }
        if (auto good = check_route(row, rows, ends); !good) {
            return std::unexpected(good.error());
        }
        if (!is_automatic(row, found.addresses)) {
            (row.route.scope == RT_SCOPE_UNIVERSE ? found.by_gateway : found.on_link).push_back(&row);
        }
    }
    for (const auto& row : rows.neighbours) {
        if (is_moved(row, from)) {
            found.neighbours.push_back(&row);
        }
    }
    return found;
}

void add_phase(HostMove& move, std::vector<MoveStep> steps) {
    if (!steps.empty()) {
        move.phases.push_back(std::move(steps));
    }
}

template <typename Row, typename Step>
void add_phase(HostMove& move, const std::vector<const Row*>& rows, Step step) {
    std::vector<MoveStep> steps;
    steps.reserve(rows.size());
    for (const auto* row : rows) {
        steps.push_back(step(*row));
    }
    add_phase(move, std::move(steps));
}

// Of a request's outcome: whether all is as it asked for.
bool is_in_place(const netlink::Message& request, const Result<void>& done) {
    if (done) {
        return true;
    }
    switch (request.raw().nlmsg_type) {
        case RTM_NEWROUTE:
            return done.error().code == EEXIST;  // the very route
        case RTM_DELADDR:
            return done.error().code == EADDRNOTAVAIL;  // with its primary address
        case RTM_DELNEIGH:
            return done.error().code == ENOENT;
        default:
            return false;
    }
}

// In reverse; what cannot be undone is told.
std::string undo(netlink::Socket& socket, std::vector<netlink::Message> undos) {
    std::string problems;
    for (auto& request : undos | std::views::reverse) {
        const auto done = socket.execute(request);
        if (!is_in_place(request, done)) {
            problems += fmt::format("; not undone: {}", done.error().message);
        }
    }
    return problems;
}

}  // namespace

Result<HostMove> plan_host_move(const Rows& rows, const MoveEnds& ends) {
    const auto found = find_movables(rows, ends);
    if (!found) {
        return std::unexpected(found.error());
    }
    const auto from = ends.from.ifindex;
    const auto to = ends.to.ifindex;
    HostMove move;
    for (const auto* row : found->addresses) {
        move.addresses.push_back(row->address.address);
    }
    const auto to_other = [&](const auto& row) {
        return MoveStep{.request = netlink::place(row, to), .undo = netlink::remove(row, to)};
    };
    const auto take = [&](const auto& row) {
        return MoveStep{.request = netlink::remove(row, from), .undo = netlink::place(row, from)};
    };
    const auto turn = [&](const RouteRow& row) {
        return MoveStep{.request = netlink::place(row, to), .undo = netlink::place(row, from)};
    };
    add_phase(move, found->addresses, to_other);
    add_phase(move, found->on_link, turn);
    add_phase(move, found->by_gateway, turn);
    add_phase(move, found->neighbours, to_other);
    add_phase(move, found->neighbours, take);
    // Secondary addresses first: the kernel removes them with their primary one.
    auto addresses = found->addresses;
    std::ranges::reverse(addresses);
    add_phase(move, addresses, take);
    return move;
}

std::optional<Ipv4Address> default_gateway(const Rows& rows, std::uint32_t ifindex) {
    const RouteRow* best = nullptr;
    for (const auto& row : rows.routes) {
        const auto& route = row.route;
        if (route.oif == ifindex && route.table == RT_TABLE_MAIN && route.destination.length() == 0 && route.gateway &&
            (best == nullptr || route.metric < best->route.metric)) {
            best = &row;
        }
    }
    return best == nullptr ? std::nullopt : best->route.gateway;
}

Result<void> carry_out(netlink::Socket& socket, const HostMove& move) {
    std::vector<netlink::Message> undos;
    for (const auto& phase : move.phases) {
        std::vector<netlink::Message> requests;
        requests.reserve(phase.size());
        for (const auto& step : phase) {
            requests.push_back(step.request);
        }
        const auto results = socket.execute(requests);
        std::optional<Error> failed;
        for (std::size_t i = 0; i < results.size(); ++i) {
            if (is_in_place(requests[i], results[i])) {
                undos.push_back(phase[i].undo);
            } else if (!failed) {
                failed = results[i].error();
            }
        }
        if (failed) {
            failed->message += undo(socket, std::move(undos));
            return std::unexpected(std::move(*failed));
        }
    }
    return {};
}

Result<std::vector<Ipv4Address>> move_host(netlink::Socket& socket, const MoveEnds& ends) {
    const auto rows = netlink::list_rows(socket);
    if (!rows) {
        return std::unexpected(rows.error());
    }
    auto move = plan_host_move(*rows, ends);
    if (!move) {
        return std::unexpected(move.error());
    }
    if (auto done = carry_out(socket, *move); !done) {
        return std::unexpected(done.error());
    }
    return std::move(move->addresses);
}

Result<std::vector<Ipv4Address>> move_host_to_shim(netlink::Socket& socket, const netlink::Link& shim,
                                                   const MoveEnds& ends) {
    const auto rows = netlink::list_rows(socket);
    if (!rows) {
        return std::unexpected(rows.error());
    }
    if (auto planned = plan_host_move(*rows, ends); !planned) {
        return std::unexpected(planned.error());
    }
    for (const auto& row : rows->addresses) {
        if (row.address.ifindex != shim.ifindex) {
            continue;
        }
        if (auto removed = socket.execute(netlink::remove(row, shim.ifindex)); !removed) {
            return std::unexpected(removed.error());
        }
    }
    const auto carrying = shim.alias + std::string(host_on_shim);
    if (auto named = socket.execute(netlink::change_link(shim, {.alias = carrying})); !named) {
        return std::unexpected(named.error());
    }
    auto moved = move_host(socket, ends);
    if (!moved) {
        if (auto named = socket.execute(netlink::change_link(shim, {.alias = shim.alias})); !named) {
            moved.error().message += fmt::format("; not undone: {}", named.error().message);
        }
    }
    return moved;
}

}  // namespace podlane
