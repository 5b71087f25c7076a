// SPDX-License-Identifier: Apache-2.0
#include "agent/link/shim.h"

#include "maps/base/name_hash.h"

namespace podlane {

MacAddress shim_mac(std::string_view node_name, std::string_view network) {
    return local_mac(name_hash({"shim", node_name, network}));
}

}  // namespace podlane
