// SPDX-License-Identifier: Apache-2.0
#include "maps/names.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace podlane {

std::string name_of(Names names, unsigned value) {
    const auto found = std::ranges::find(names, value, &NamedValue::value);
    return found != names.end() ? std::string(found->name) : std::to_string(value);
}

std::optional<unsigned> value_of(Names names, std::string_view text) {
    const auto found = std::ranges::find(names, text, &NamedValue::name);
    if (found != names.end()) {
        return found->value;
    }
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() && !text.empty() ? std::optional(number)
                                                                                     : std::nullopt;
}

std::string joined(Names names) {
    std::string list;
    for (const NamedValue& one : names) {
        list += fmt::format("{}{}", list.empty() ? "" : ", ", one.name);
    }
    return list;
}

// No default below: the compiler names an enumerator that has no name yet.
std::string name_of(node_path path) {
    switch (path) {
        case NODE_PATH_LOCAL:
            return "local";
        case NODE_PATH_VXLAN:
            return "vxlan";
        case NODE_PATH_DIRECT:
            return "direct";
        case NODE_PATH_UNREACHABLE:
            return "unreachable";
    }
    return std::to_string(static_cast<unsigned>(path));
}

std::string name_of(flow_owner owner) {
    switch (owner) {
        case FLOW_OWNER_UNDECIDED:
            return "undecided";
        case FLOW_OWNER_FAST:
            return "fast";
        case FLOW_OWNER_STACK:
            return "stack";
    }
    return std::to_string(static_cast<unsigned>(owner));
}

std::string name_of(flow_pending direction) {
    switch (direction) {
        case FLOW_PENDING_FROM_POD:
            return "from-pod";
        case FLOW_PENDING_TO_POD:
            return "to-pod";
    }
    return std::to_string(static_cast<unsigned>(direction));
}

std::string name_of(network_class network) {
    switch (network) {
        case NETWORK_CLUSTER:
            return "cluster";
        case NETWORK_UNTRANSLATED:
            return "untranslated";
        case NETWORK_SERVICE:
            return "service";
        case NETWORK_TRANSLATED:
            return "translated";
    }
    return std::to_string(static_cast<unsigned>(network));
}

std::string name_of(nat_device_flag flag) {
    switch (flag) {
        case NAT_DEVICE_OWN:
            return "own";
        case NAT_DEVICE_SHARED:
            return "shared";
        case NAT_DEVICE_L3:
            return "l3";
        case NAT_DEVICE_INNER:
            return "inner";
        case NAT_DEVICE_HOST_ABOVE:
            return "host-above";
    }
    return std::to_string(static_cast<unsigned>(flag));
}

std::string name_of(nat_flag flag) {
    switch (flag) {
        case NAT_FLAG_STACK:
            return "stack";
        case NAT_FLAG_HOST:
            return "host";
    }
    return std::to_string(static_cast<unsigned>(flag));
}

std::string name_of(nat_seen seen) {
    switch (seen) {
        case NAT_SEEN_DATA:
            return "data";
        case NAT_SEEN_FIN:
            return "fin";
        case NAT_SEEN_RST:
            return "rst";
    }
    return std::to_string(static_cast<unsigned>(seen));
}

std::string name_of(nat_state state) {
    switch (state) {
        case NAT_STATE_OPENING:
            return "opening";
        case NAT_STATE_ESTABLISHED:
            return "established";
        case NAT_STATE_CLOSED:
            return "closed";
        case NAT_STATE_UDP:
        case NAT_STATE_DNS:
        case NAT_STATE_ICMP:
        case NAT_STATE_SCTP:
            return "active";
        case NAT_STATE_COUNT:
            break;
    }
    return std::to_string(static_cast<unsigned>(state));
}

}  // namespace podlane
