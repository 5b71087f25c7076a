// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/cni/endpoint.h"
#include "agent/netlink/link.h"
#include "maps/base/result.h"

namespace podlane {

// The attachments of this node's pods, each a file <runDir>/endpoints/<id>.json (0600, written by rename) and, as far
// as it fits, the alias of its host-side device.
class EndpointStore {
public:
    // `directory`: <runDir>/endpoints; it is made when it is missing.
    explicit EndpointStore(std::filesystem::path directory) : directory_(std::move(directory)) {}

    // Reads every record. One that cannot be read is left where it is and named in `problems`.
    [[nodiscard]] Result<void> load(std::vector<std::string>& problems);
    // Whether load() had to make the directory: records that there may have been are lost.
    [[nodiscard]] bool was_lost() const { return was_lost_; }
    // Takes up what the devices' aliases tell of endpoints without a record (a lost run directory), and writes their
    // records. Returns the IDs that were rebuilt.
    [[nodiscard]] std::vector<std::string> rebuild(const std::vector<netlink::Link>& links);

    // Writes every record again, for a directory that somebody removed.
    [[nodiscard]] Result<void> rewrite() const;

    // Written to disk when this returns. An address that another endpoint holds is an error that names it.
    [[nodiscard]] Result<void> put(const Endpoint& endpoint);
    // False: there was none.
    [[nodiscard]] Result<bool> erase(const std::string& id);

    [[nodiscard]] const std::map<std::string, Endpoint>& all() const { return endpoints_; }
    [[nodiscard]] const Endpoint* find(const std::string& id) const;

private:
    [[nodiscard]] std::filesystem::path file_of(const std::string& id) const;

    std::filesystem::path directory_;
    std::map<std::string, Endpoint> endpoints_;  // by Endpoint::id()
    bool was_lost_ = false;
};

}  // namespace podlane
