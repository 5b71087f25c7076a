// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/cni/failure.h"
#include "agent/cni/master.h"
#include "agent/cni/result.h"
#include "maps/base/result.h"

namespace podlane::cni {

// A macvlan inside a sandbox that another plugin made there.
struct AdoptableLink {
    std::string master;  // name in the host's namespace
    std::string mode;    // bridge, private, vepa or passthru
    MacAddress mac;
    unsigned mtu = 0;  // bytes of IP
};

// The kernel's side of an attachment: the link and what is configured on it. Attachment::endpoint.link says of which
// kind it is.
class Links {
public:
    Links() = default;
    Links(const Links&) = delete;
    Links& operator=(const Links&) = delete;
    virtual ~Links() = default;

    // Whether the sandbox has an interface of that name. Errors carry errno as Sandbox::open() does.
    [[nodiscard]] virtual Result<bool> exists(const std::string& netns, const std::string& if_name) = 0;
    // Where routes lead out of other interfaces than `if_name`.
    [[nodiscard]] virtual Result<std::vector<Ipv4Prefix>> ways_of_others(const std::string& netns,
                                                                         const std::string& if_name) = 0;
    // See find_master().
    [[nodiscard]] virtual Outcome<Master> master(const std::string& name) = 0;
    // Of a macvlan: the device alone, up, for an IPAM plugin that asks a DHCP server through it. Replaces what an
    // earlier failed ADD left behind. After an error nothing of it exists.
    [[nodiscard]] virtual Result<void> prepare(const Attachment& attachment) = 0;
    // Of a veth: creates and configures the whole attachment; replaces a host side that an earlier failed ADD left
    // behind; after an error nothing of it exists. Of a macvlan: configures what prepare() made; after an error that
    // is there still. Its address is probed for before (EADDRINUSE) and announced after it is set up.
    [[nodiscard]] virtual Result<void> create(const Attachment& attachment) = 0;
    // Removes a pair by its host side, and what of ours is inside. Success also when nothing is there, sandbox
    // included. Inside, a veth is ours by its MAC, a macvlan by its MAC or its alias; anything else stays.
    [[nodiscard]] virtual Result<void> remove(const Endpoint& endpoint) = 0;
    // One line for each difference between the kernel and `expected`. An mtu that is not fixed may have followed the
    // underlay's or the master's.
    [[nodiscard]] virtual Result<std::vector<std::string>> differences(const Attachment& expected) = 0;

    // A failure (code 7) says why the interface is none that podlane could serve.
    [[nodiscard]] virtual Outcome<AdoptableLink> adoptable(const std::string& netns, const std::string& if_name) = 0;
    // Routes of `attachment` on an interface that exists: all of them, or none and an error.
    [[nodiscard]] virtual Result<void> add_routes(const Attachment& attachment) = 0;
    [[nodiscard]] virtual Result<void> remove_routes(const Attachment& attachment) = 0;
};

class KernelLinks final : public Links {
public:
    [[nodiscard]] Result<bool> exists(const std::string& netns, const std::string& if_name) override;
    [[nodiscard]] Result<std::vector<Ipv4Prefix>> ways_of_others(const std::string& netns,
                                                                 const std::string& if_name) override;
    [[nodiscard]] Outcome<Master> master(const std::string& name) override;
    [[nodiscard]] Result<void> prepare(const Attachment& attachment) override;
    [[nodiscard]] Result<void> create(const Attachment& attachment) override;
    [[nodiscard]] Result<void> remove(const Endpoint& endpoint) override;
    [[nodiscard]] Result<std::vector<std::string>> differences(const Attachment& expected) override;
    [[nodiscard]] Outcome<AdoptableLink> adoptable(const std::string& netns, const std::string& if_name) override;
    [[nodiscard]] Result<void> add_routes(const Attachment& attachment) override;
    [[nodiscard]] Result<void> remove_routes(const Attachment& attachment) override;
};

}  // namespace podlane::cni
