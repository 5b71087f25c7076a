// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/link_plan.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "agent/link/ownership.h"
#include "agent/reconcile/delta.h"

namespace podlane {
namespace {

using netlink::InterfaceAddress;
using netlink::Message;
using netlink::Neighbour;
using netlink::Route;

Route in_kernel_terms(const WantedRoute& wanted, std::uint32_t oif) {
    Route route{.destination = wanted.destination,
                .oif = oif,
                .gateway = wanted.gateway,
                .source = wanted.source,
                .protocol = route_protocol,
                .metric = wanted.metric,
                .mtu = wanted.mtu};
    if (wanted.kind == RouteKind::unreachable) {
        route.type = RTN_UNREACHABLE;
    } else if (!wanted.gateway) {
        route.scope = RT_SCOPE_LINK;
    }
    return route;
}

constexpr std::string_view noun(const InterfaceAddress&) {
    return "address";
}
constexpr std::string_view noun(const Route&) {
    return "route";
}
constexpr std::string_view noun(const Neighbour&) {
    return "neighbour";
}

std::string item_name(const InterfaceAddress& address) {
    return address.to_string();
}
std::string item_name(const Route& route) {
    return route.destination.to_string();
}
std::string item_name(const Neighbour& neighbour) {
    return neighbour.address.to_string();
}

// Collects wanted objects, and what is wrong with them.
class Locator {
public:
    explicit Locator(const LinkTable& links) : links_(links) {}

    void add(const WantedRoute& wanted) {
        const auto* link = links_.by_name(wanted.device);
        const auto route = in_kernel_terms(wanted, link == nullptr ? 0 : link->ifindex);
        place(result_.objects.routes, route, link != nullptr || wanted.kind == RouteKind::unreachable, wanted.device);
    }

    void add(const WantedNeighbour& wanted) {
        const auto* link = links_.by_name(wanted.device);
        const Neighbour neighbour{.ifindex = link == nullptr ? 0 : link->ifindex,
                                  .address = wanted.address,
                                  .mac = wanted.mac,
                                  .protocol = route_protocol};
        place(result_.objects.neighbours, neighbour, link != nullptr, wanted.device);
    }

    void add(Ipv4Address wanted, const std::string& device) {
        const auto* link = links_.by_name(device);
        const InterfaceAddress address{.ifindex = link == nullptr ? 0 : link->ifindex, .address = wanted};
        place(result_.objects.addresses, address, link != nullptr, device);
    }

    WantedObjects take() { return std::move(result_); }

private:
    template <typename Objects, typename Object>
    void place(Objects& objects, const Object& object, bool has_device, const std::string& device) {
        if (!has_device) {
            result_.missing_devices.insert(device);
            result_.waiting.push_back({.kind = std::string(noun(object)),
                                       .name = item_name(object),
                                       .wanted = fmt::format("{} dev {}", item_name(object), device),
                                       .actual = {},
                                       .state = LinkState::missing});
            return;
        }
        const auto [there, inserted] = objects.emplace(key_of(object), object);
        if (!inserted && there->second != object) {
            result_.collisions.push_back(fail("{} {}: {} is wanted as well, and stays", noun(object),
                                              describe(object, links_), describe(there->second, links_))
                                             .error());
        }
    }

    const LinkTable& links_;
    WantedObjects result_;
};

// The three kinds of objects differ in their requests only.
Message request_add(const InterfaceAddress& address) {
    return netlink::replace_address(address);
}
Message request_add(const Route& route) {
    return netlink::add_route(route);
}
Message request_add(const Neighbour& neighbour) {
    return netlink::replace_neighbour(neighbour);
}
Message request_change(const InterfaceAddress& address) {
    return netlink::replace_address(address);
}
Message request_change(const Route& route) {
    return netlink::replace_route(route);
}
Message request_change(const Neighbour& neighbour) {
    return netlink::replace_neighbour(neighbour);
}
Message request_remove(const InterfaceAddress& address) {
    return netlink::delete_address(address);
}
Message request_remove(const Route& route) {
    return netlink::delete_route(route);
}
Message request_remove(const Neighbour& neighbour) {
    return netlink::delete_neighbour(neighbour);
}

template <typename Object>
Message labelled(Message message, std::string_view verb, const Object& object, const LinkTable& links) {
    message.relabel(fmt::format("{} {} {}", verb, noun(object), describe(object, links)));
    return message;
}

// Flags that say how an entry came about or is doing, and not what it says, are no difference.
bool same(const InterfaceAddress& wanted, const InterfaceAddress& actual) {
    return wanted == actual;
}
bool same(const Route& wanted, const Route& actual) {
    return wanted == actual;
}
bool same(const Neighbour& wanted, const Neighbour& actual) {
    return wanted.mac == actual.mac;
}

constexpr auto same_object = [](const auto& wanted, const auto& actual) { return same(wanted, actual); };

struct Requests {
    std::vector<Message> set;     // additions and changes
    std::vector<Message> remove;  // what nobody wants
};

template <typename Objects>
Requests requests(const Objects& wanted, const Objects& actual, const LinkTable& links) {
    const auto delta = map_delta(wanted, actual, same_object);
    Requests result;
    for (const auto& [key, object] : delta.to_add) {
        result.set.push_back(labelled(request_add(object), "add", object, links));
    }
    for (const auto& [key, object] : delta.to_change) {
        result.set.push_back(labelled(request_change(object), "change", object, links));
    }
    for (const auto& key : delta.to_remove) {
        const auto& object = actual.at(key);
        result.remove.push_back(labelled(request_remove(object), "delete", object, links));
    }
    return result;
}

template <typename Objects>
void list(const Objects& wanted, const Objects& actual, const LinkTable& links, std::vector<LinkItem>& items) {
    for (const auto& [key, object] : wanted) {
        LinkItem item{.kind = std::string(noun(object)),
                      .name = item_name(object),
                      .wanted = describe(object, links),
                      .actual = {},
                      .state = LinkState::missing};
        if (const auto there = actual.find(key); there != actual.end()) {
            item.actual = describe(there->second, links);
            item.state = same(object, there->second) ? LinkState::ok : LinkState::wrong;
        }
        items.push_back(std::move(item));
    }
    for (const auto& [key, object] : actual) {
        if (!wanted.contains(key)) {
            items.push_back({.kind = std::string(noun(object)),
                             .name = item_name(object),
                             .wanted = {},
                             .actual = describe(object, links),
                             .state = LinkState::wrong});
        }
    }
}

}  // namespace

WantedObjects locate(const WantedHostNetwork& wanted, const LinkTable& links) {
    Locator locator(links);
    if (wanted.overlay) {
        for (const auto address : wanted.overlay->addresses) {
            locator.add(address, wanted.overlay->name);
        }
    }
    for (const auto& shim : wanted.shims) {
        if (shim.address) {
            locator.add(*shim.address, shim.name);
        }
    }
    for (const auto& route : wanted.routes) {
        locator.add(route);
    }
    for (const auto& neighbour : wanted.neighbours) {
        locator.add(neighbour);
    }
    return locator.take();
}

std::vector<Message> plan_objects(const HostObjects& wanted, const HostObjects& actual, Sweep sweep,
                                  const LinkTable& links) {
    auto addresses = requests(wanted.addresses, actual.addresses, links);
    auto neighbours = requests(wanted.neighbours, actual.neighbours, links);
    auto routes = requests(wanted.routes, actual.routes, links);
    std::vector<Message> ordered;
    for (auto* part : {&addresses.set, &neighbours.set, &routes.set}) {
        std::ranges::move(*part, std::back_inserter(ordered));
    }
    if (sweep == Sweep::remove) {
        for (auto* part : {&routes.remove, &neighbours.remove, &addresses.remove}) {
            std::ranges::move(*part, std::back_inserter(ordered));
        }
    }
    return ordered;
}

std::vector<LinkItem> object_items(const HostObjects& wanted, const HostObjects& actual, const LinkTable& links) {
    std::vector<LinkItem> items;
    list(wanted.addresses, actual.addresses, links, items);
    list(wanted.routes, actual.routes, links, items);
    list(wanted.neighbours, actual.neighbours, links, items);
    return items;
}

}  // namespace podlane
