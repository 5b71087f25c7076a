// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/doctor/finding.h"
#include "agent/migrate/facts.h"

namespace podlane::migrate {

// What keeps this node from being taken over (problems), and what is worth knowing (notes). Pure. IDs:
//   "looking"        something could not be looked at, so that nothing may be concluded
//   "agent"          it does not answer, or is not in sync
//   "flannel-device" there is none, or it is down
//   "vxlan-settings", "mac"  flannel's device against the agent's configuration
//   "port"           another device has the overlay's port, too
//   "configuration"  overlay.flannel is off
//   "net-conf", "subnet-env", "masquerade"     flannel's own files
//   "flanneld"       it runs
//   "cni-network"    the two CNI configurations do not share a network name, and so not the store of addresses
//   "record"         that of another node, or of an earlier migration
//   "files"          files that are not there
[[nodiscard]] std::vector<doctor::Finding> find_obstacles(const Facts& facts);

// The commands where Facts::change_since_record says something.
[[nodiscard]] std::string mend_of_stale_record(const Facts& facts);

}  // namespace podlane::migrate
