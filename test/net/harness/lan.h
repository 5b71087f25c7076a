// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "maps/base/address.h"
#include "test/net/harness/capture.h"
#include "test/net/harness/links.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/node.h"
#include "test/net/harness/underlay.h"

namespace podlane::net {

// What a host has its LAN address on.
enum class LanPort : std::uint8_t {
    nic,   // em2
    vlan,  // em2.7: the switch's port is a trunk, of which the LAN is VLAN 7
    bond,  // bond0, active-backup over em2 and em3, both on one switch
};
// Why a device of that kind cannot be had here; empty when it can.
[[nodiscard]] std::string why_no(LanPort kind);

// A LAN with hosts, a neighbour, and a gateway with an "internet" behind it:
//
//   node 1: em2 .100 --- port-n1 --+                    +-- gateway .254 --- 203.0.113.0/24 --- internet 203.0.113.10
//   node 2: em2 .101 --- port-n2 --+--- [ bridge lan ] -+
//   neighbour .200 ----------------+
//
// It is 172.20.7.0/24 on a NIC of its own (or on em2.7, or on bond0), or the nodes' underlay (192.168.0.0/24, eth0).
class Lan {
public:
    // Of its own.
    explicit Lan(LanPort kind = LanPort::nic);
    // The underlay, which the nodes have joined. It must outlive this.
    explicit Lan(const Underlay& underlay);

    // Gives the node its device; on the underlay it has one.
    void join(const Namespace& node, const std::string& node_name, unsigned number);

    [[nodiscard]] const std::string& device() const { return device_; }
    [[nodiscard]] Ipv4Address address(unsigned last_byte) const { return Ipv4Address::from_host(prefix_ + last_byte); }
    [[nodiscard]] Ipv4Address host_address(unsigned number) const { return address(first_host_ + number - 1); }
    [[nodiscard]] Ipv4Address gateway() const { return address(254); }
    [[nodiscard]] const Namespace& ns() const { return *ns_; }
    [[nodiscard]] const Namespace& neighbour() const { return neighbour_; }
    [[nodiscard]] Ipv4Address neighbour_address() const { return address(200); }
    [[nodiscard]] const Namespace& internet() const { return internet_; }
    static inline const auto internet_address = Ipv4Address::from_host(0xcb00710a);

    // Bond: the switch's end of em2 or em3 of a node, by which its cable is pulled.
    [[nodiscard]] static std::string end_of(const std::string& nic, const std::string& node_name) {
        return nic + "-" + node_name;
    }

    // What `systemctl restart network` does to the node's device: down, flushed, up, addresses and routes anew.
    void restart_network(const Namespace& node, unsigned number) const;

private:
    void attach(const Namespace& ns, const std::string& device, const std::string& port, Ipv4Address address);
    void connect_neighbours();
    void plug_in_vlan(const Namespace& node, const std::string& node_name) const;
    void plug_in_bond(const Namespace& node, const std::string& node_name) const;

    LanPort kind_ = LanPort::nic;
    std::unique_ptr<Namespace> own_;
    const Namespace* ns_;
    std::string bridge_;
    std::string device_;
    std::uint32_t prefix_;
    unsigned first_host_;
    Namespace neighbour_{"neighbour"};
    Namespace gateway_{"gateway"};
    Namespace internet_{"internet"};
};

// Asks the LAN for an address by broadcast, as the neighbour would, five hundred times a second, for as long as it
// lives.
class ArpQuestions {
public:
    ArpQuestions(const Lan& lan, Ipv4Address target);
    ArpQuestions(const ArpQuestions&) = delete;
    ArpQuestions& operator=(const ArpQuestions&) = delete;
    ~ArpQuestions() = default;

private:
    RawSender sender_;
    Bytes request_;
    std::jthread asker_;
};

// Who claims to have an address, on the port of a node: the sender's MAC of ARP packets that name it as the sender's,
// and the source MAC of IPv4 packets from it.
class MacCensus {
public:
    MacCensus(const Lan& lan, const std::string& node_name, Ipv4Address address);

    // From construction on.
    [[nodiscard]] std::set<std::string> macs();
    [[nodiscard]] unsigned lost() { return capture_.lost(); }
    [[nodiscard]] std::size_t frames() { return capture_.frames().size(); }

private:
    Ipv4Address address_;
    Capture capture_;
};

}  // namespace podlane::net
