// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/macvlan_links.h"

#include <algorithm>
#include <cstdio>

#include "agent/cni/arp.h"
#include "agent/cni/macvlan_requests.h"

namespace podlane::cni {
namespace {

std::string first_name_of(const Endpoint& endpoint) {
    return host_interface_name(endpoint.container_id, endpoint.if_name);
}

// What the kernel means by the errors that it gives without a word.
Result<void> explain_creation(Result<void> created, const Endpoint& endpoint) {
    if (created || (created.error().code != EBUSY && created.error().code != EINVAL)) {
        return created;
    }
    const auto& error = created.error();
    const char* meaning = "it has a macvlan in mode passthru, which leaves no room for another";
    if (error.code == EBUSY) {
        meaning = "something else takes all its packets (a bridge, a bond, an ipvlan)";
    } else if (endpoint.mode == "passthru") {
        meaning = "mode passthru wants it for itself, and other macvlan devices hang on it (podlane's shim is one)";
    }
    return std::unexpected(Error{error.code, fmt::format("{}: {}", error.message, meaning)});
}

// The LAN's probes do not reach the host itself, which macvlan keeps apart.
Result<void> refuse_address_of_host(RtSocket& host, const Endpoint& endpoint) {
    const auto addresses = list_addresses(host);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    if (std::ranges::find(*addresses, endpoint.ip, &AddressInfo::address) != addresses->end()) {
        return std::unexpected(Error{EADDRINUSE, fmt::format("{} is an address of this host itself", endpoint.ip)});
    }
    return {};
}

// With its final name, down.
Result<LinkInfo> make_device(Ends& ends, const Attachment& attachment) {
    const auto& endpoint = attachment.endpoint;
    const auto master = require_link(ends.host, endpoint.master);
    if (!master) {
        return std::unexpected(master.error());
    }
    const auto leftover = find_link(ends.inside, first_name_of(endpoint));
    if (leftover && *leftover && is_our_macvlan(**leftover, endpoint)) {
        if (auto deleted = delete_link(ends.inside, **leftover, first_name_of(endpoint)); !deleted) {
            return std::unexpected(deleted.error());
        }
    }
    auto done = perform(ends.host, create_macvlan_request(attachment, master->index, ends.sandbox.fd()),
                        fmt::format("create a macvlan on {}", endpoint.master));
    done = explain_creation(std::move(done), endpoint);
    auto link = done ? require_link(ends.inside, first_name_of(endpoint)) : std::unexpected(done.error());
    if (!link) {
        return link;
    }
    done = perform(ends.inside, rename_request(link->index, endpoint.if_name, encode_alias(endpoint)),
                   fmt::format("name the macvlan {}", endpoint.if_name));
    return done ? link : std::unexpected(done.error());
}

// arp_notify: what moves the device's MAC to another port (a bond's change of links) is announced by the kernel.
Result<void> bring_up(Ends& ends, const LinkInfo& link, const Endpoint& endpoint) {
    auto done = ends.sandbox.inside([&]() -> Result<void> {
        if (auto disabled = disable_ipv6(endpoint.if_name); !disabled) {
            return disabled;
        }
        return write_sysctl(fmt::format("ipv4/conf/{}/arp_notify", endpoint.if_name), "1");
    });
    if (done) {
        done = perform(ends.inside, bring_up_request(loopback_index), "bring up lo");
    }
    if (!done) {
        return done;
    }
    done = perform(ends.inside, bring_up_request(link.index), "bring up " + endpoint.if_name);
    if (!done && (done.error().code == EADDRINUSE || done.error().code == EBUSY)) {  // EBUSY in older kernels
        return fail("{}: another device on {} has its MAC {}", done.error().message, endpoint.master, endpoint.mac);
    }
    return done;
}

Result<void> refuse_address_of_another(const ArpSocket& arp, const Endpoint& endpoint) {
    const auto rival = arp.probe(endpoint.ip);
    if (!rival) {
        return fail_within(fmt::format("probe for {} on {}", endpoint.ip, endpoint.master), rival.error());
    }
    if (*rival) {
        return std::unexpected(Error{EADDRINUSE, fmt::format("{} is in use on the LAN of {}: {} answers for it",
                                                             endpoint.ip, endpoint.master, **rival)});
    }
    return {};
}

// Without a carrier there is no LAN to ask, and nobody to tell.
Result<void> take_address(Ends& ends, const LinkInfo& link, const Attachment& attachment) {
    const auto& endpoint = attachment.endpoint;
    const auto arp = ends.sandbox.inside([&] { return ArpSocket::open(link.index, endpoint.mac); });
    if (!arp) {
        return std::unexpected(arp.error());
    }
    auto done = refuse_address_of_host(ends.host, endpoint);
    if (done && link.carrier) {
        done = refuse_address_of_another(*arp, endpoint);
    } else if (done) {
        fmt::print(stderr, "podlane: {} has no carrier: {} is not probed for\n", endpoint.master, endpoint.ip);
    }
    if (done) {
        done = perform(ends.inside, add_address_request(link.index, endpoint.ip, attachment.prefix_length),
                       fmt::format("add address {}", endpoint.ip));
    }
    return done && link.carrier ? arp->announce(endpoint.ip) : done;
}

void compare_mtu(const LinkInfo& link, unsigned master_mtu, const Endpoint& expected, Differences& found) {
    const bool as_made = expected.mtu == 0 || link.mtu == expected.mtu;
    const bool followed = !expected.mtu_fixed && link.mtu == master_mtu;
    if (!as_made && !followed) {
        found.push_back(fmt::format("interface {} has MTU {}, not {}", expected.if_name, link.mtu, expected.mtu));
    }
}

Result<void> compare_master(Ends& ends, const LinkInfo& link, const Endpoint& expected, Differences& found) {
    const auto master = master_on_host(ends, link);
    if (!master) {
        return std::unexpected(master.error());
    }
    const auto name = *master ? (*master)->name : std::string("no device of this host");
    if (!expected.master.empty() && name != expected.master) {
        found.push_back(fmt::format("interface {} hangs on {}, not on {}", expected.if_name, name, expected.master));
    }
    if (const auto mode = macvlan_mode_name(link.macvlan_mode); !expected.mode.empty() && mode != expected.mode) {
        found.push_back(fmt::format("interface {} is in mode {}, not {}", expected.if_name,
                                    mode.empty() ? "source" : mode, expected.mode));
    }
    compare_mtu(link, *master ? (*master)->mtu : 0, expected, found);
    return {};
}

}  // namespace

Result<void> create_macvlan(Ends& ends, const Attachment& attachment) {
    const auto& endpoint = attachment.endpoint;
    const auto link = make_device(ends, attachment);
    auto done = link ? bring_up(ends, *link, endpoint) : std::unexpected(link.error());
    if (done) {
        return done;
    }
    for (const auto& name : {endpoint.if_name, first_name_of(endpoint)}) {
        const auto left = find_link(ends.inside, name);
        if (!left || !*left || !is_our_macvlan(**left, endpoint)) {
            continue;
        }
        if (const auto removed = delete_link(ends.inside, **left, name); !removed) {
            return fail("{}; and afterwards: {}", done.error().message, removed.error().message);
        }
    }
    return done;
}

Result<void> configure_macvlan(Ends& ends, const Attachment& attachment) {
    const auto link = require_link(ends.inside, attachment.endpoint.if_name);
    if (!link) {
        return std::unexpected(link.error());
    }
    const bool has_address = !attachment.endpoint.ip.is_unspecified();
    auto done = has_address ? take_address(ends, *link, attachment) : Result<void>();
    return done ? add_macvlan_routes(ends.inside, *link, attachment) : done;
}

Result<Differences> compare_macvlan(Ends& ends, const Attachment& expected) {
    const auto& endpoint = expected.endpoint;
    const auto link = find_link(ends.inside, endpoint.if_name);
    if (!link) {
        return std::unexpected(link.error());
    }
    Differences found;
    if (!*link) {
        found.push_back(fmt::format("interface {} of the container is missing", endpoint.if_name));
        return found;
    }
    compare_link(**link, "macvlan", endpoint.if_name, endpoint.mac, found);
    Result<void> compared;
    if ((*link)->kind == "macvlan") {
        compared = compare_master(ends, **link, endpoint, found);
    }
    if (compared && !endpoint.ip.is_unspecified()) {
        compared = compare_address(ends.inside, **link, expected, found);
    }
    if (compared) {
        compared = compare_routes(ends.inside, **link, expected, found);
    }
    if (!compared) {
        return std::unexpected(compared.error());
    }
    return found;
}

bool is_our_macvlan(const LinkInfo& link, const Endpoint& endpoint) {
    if (link.kind != "macvlan") {
        return false;
    }
    const auto named = decode_alias(link.alias);
    return link.mac == derived_pod_mac(endpoint.container_id, endpoint.if_name) ||
           link.name == first_name_of(endpoint) ||
           (named && named->container_id == endpoint.container_id && named->if_name == endpoint.if_name);
}

Result<std::optional<LinkInfo>> master_on_host(Ends& ends, const LinkInfo& macvlan) {
    const auto number = namespace_number(ends.inside, ends.sandbox.own_fd());
    if (!number) {
        return std::unexpected(number.error());
    }
    if (macvlan.link_namespace != *number) {
        return std::optional<LinkInfo>();
    }
    return find_link(ends.host, macvlan.link_index);
}

Result<void> add_macvlan_routes(RtSocket& inside, const LinkInfo& link, const Attachment& attachment) {
    const auto& endpoint = attachment.endpoint;
    const auto subnet = Ipv4Prefix::masked(endpoint.ip, attachment.prefix_length);
    for (const auto& route : attachment.routes) {
        auto added = perform(inside, add_route_request(link.index, route, endpoint.gateway, subnet),
                             fmt::format("add route {}", route.destination));
        if (!added && added.error().code != EEXIST) {
            return added;
        }
    }
    return {};
}

}  // namespace podlane::cni
