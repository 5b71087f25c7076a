// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/cni/endpoint.h"
#include "agent/config/config.h"
#include "agent/netfilter/ruleset.h"
#include "agent/netlink/route.h"
#include "maps/base/address.h"

// What the checks judge: collected once, by reading only.
namespace podlane::doctor {

// A macvlan network of the configuration as the kernel has it.
struct MacvlanFacts {
    MacvlanConfig settings{};
    std::uint32_t master_ifindex = 0;           // 0: it is not there
    std::uint32_t shim_ifindex = 0;             // 0: it is not there
    std::optional<Ipv4Address> host_address{};  // the host's on that LAN
    std::optional<Ipv4Prefix> lan{};
    std::optional<Ipv4Address> gateway{};          // of the LAN
    std::optional<std::uint8_t> dynamic_length{};  // prefix length of the master's address, where that has a lifetime
    std::vector<Endpoint> pods{};                  // of this node, in bridge mode
};

// Reverse path filtering on a device, and a source that comes in by it.
struct ReversePath {
    std::string device{};
    unsigned all = 0;        // net.ipv4.conf.all.rp_filter
    unsigned own = 0;        // the device's; the larger one counts
    std::string source{};    // whose packets: "pods of the peer 10.244.2.0/24"
    std::string way_back{};  // the device that the route to the source leads into; empty: there is no route
};

// A process that speaks DHCP as a client on a device.
struct DhcpClient {
    std::string device{};
    int pid = 0;  // 0: the process is not visible from here
    std::string command{};
    std::string seen{};  // "packet socket on podlane-lan"
};

// Where packets of a pod go.
struct PodRoutes {
    Endpoint pod{};
    Ipv4Address host_address{};
    std::vector<Ipv4Prefix> wanted{};      // to go through the host
    std::vector<netlink::Route> routes{};  // of the pod's namespace
};

// What came back of one ARP probe from each of two MACs.
struct LanProbe {
    std::string master{};
    Ipv4Address target{};
    MacAddress own{};
    MacAddress foreign{};
    bool own_answered = false;
    bool foreign_answered = false;
};

struct Firewalld {
    std::string evidence{};  // "table inet firewalld of nf_tables"
};

// The device that VXLAN comes by.
struct UnderlayFacts {
    std::string device{};
    Ipv4Address address{};
    Ipv4Prefix network{};  // on its link
};

struct Facts {
    Config config{};
    std::optional<UnderlayFacts> underlay{};  // nothing: not known
    std::vector<MacvlanFacts> macvlans{};
    std::vector<Endpoint> veth_pods{};
    std::vector<netfilter::Table> tables{};
    std::optional<Firewalld> firewalld{};
    std::vector<ReversePath> reverse_paths{};
    std::vector<DhcpClient> dhcp_clients{};
    std::vector<PodRoutes> pod_routes{};
    std::optional<std::vector<LanProbe>> probes{};  // nothing: not asked for
    std::vector<std::string> gaps{};                // what could not be looked at, and why
};

}  // namespace podlane::doctor
