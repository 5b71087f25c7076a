// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "agent/migrate/flannel_network.h"
#include "agent/netfilter/flannel_rules.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

// What `migrate apply` writes down before it changes anything: enough to bring the node back to flannel.
namespace podlane::migrate {

// What of the agent's configuration a rollback needs: the agent, and where it had its configuration from, is gone then.
// Paths as the configuration has them.
struct RecordedAgent {
    std::string run_dir;
    std::string bpffs;
    std::string overlay_device;
    std::string cni_config_file;  // empty: the agent writes none

    bool operator==(const RecordedAgent&) const = default;
};

struct Record {
    std::string node;
    std::string time;    // RFC 3339
    std::string bridge;  // "cni0"
    RecordedAgent agent;
    FlannelNetwork network;
    netfilter::FlannelRules rules;
    std::set<std::string> adopted;       // IDs of endpoints
    std::set<Ipv4Address> silent_peers;  // that answered no echo then

    bool operator==(const Record&) const = default;
};

inline constexpr int record_version = 1;

// How flannel's device or its addresses differ from those on record; empty: in nothing. Peers come and go.
[[nodiscard]] std::string difference(const FlannelNetwork& recorded, const FlannelNetwork& now);

[[nodiscard]] std::string to_text(const Record& record);
// An error names the member. A record of another version is refused.
[[nodiscard]] Result<Record> parse_record(std::string_view text);

// Nothing: there is no such file. Errors name it.
[[nodiscard]] Result<std::optional<Record>> read_record(const std::filesystem::path& file);
// In one step, mode 0600; makes the directory.
[[nodiscard]] Result<void> write_record(const std::filesystem::path& file, const Record& record);

}  // namespace podlane::migrate
