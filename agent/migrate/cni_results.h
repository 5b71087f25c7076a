// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/address.h"
#include "maps/base/result.h"

// What libcni, and so the runtime, wrote down of each ADD: /var/lib/cni/results/<network>-<container>-<interface>.
namespace podlane::migrate {

// One interface of one container, with one IPv4 address, and its host side.
struct CniAttachment {
    std::string container_id;
    std::string if_name;     // inside
    std::string network;     // the configuration's name
    std::string netns;       // path in the host's file system
    std::string name_space;  // of the pod; empty, as are name and uid, where the runtime told no pod
    std::string name;
    std::string uid;
    std::string host_interface;  // the veth's end on the host
    MacAddress mac;              // of the inner end
    Ipv4Address ip;
    std::optional<Ipv4Address> gateway;
    bool has_ipv6 = false;  // an address beside the link's own

    bool operator==(const CniAttachment&) const = default;
};

// An error says what is missing or wrong: not libcni's form ("kind":"cniCacheV1"), no host side, no IPv4 address or
// more than one.
[[nodiscard]] Result<CniAttachment> parse_cni_result(std::string_view json);

struct CniResults {
    std::vector<CniAttachment> attachments;  // in the order of the files' names
    std::vector<Error> problems;             // of one file each, by its path; all else holds
};

// Results of `network` alone. A directory that cannot be read is a problem, with errno (ENOENT: no ADD ever ended well
// here). A file that vanishes meanwhile is none.
[[nodiscard]] CniResults read_cni_results(const std::filesystem::path& directory, const std::string& network);

}  // namespace podlane::migrate
