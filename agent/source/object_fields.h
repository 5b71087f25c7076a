// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace podlane {

// Which kinds a field is read of.
enum class FieldOf : std::uint8_t { node = 1, pod = 2, both = 3 };

// One object while it is being read: its kind may come last, or not at all.
struct RawObject {
    struct Problem {
        FieldOf of = FieldOf::both;
        std::string field;
        std::string message;
    };

    explicit RawObject(unsigned first_line = 0, std::optional<std::size_t> index = std::nullopt)
        : line(first_line), item(index) {}

    unsigned line;
    std::optional<std::size_t> item;  // index in its list
    std::string api_version;
    std::string kind;
    std::string name;
    std::string name_space;
    std::string uid;
    std::string deletion_timestamp;
    std::map<std::string, std::string> annotations;
    std::string pod_cidr;
    std::vector<std::string> pod_cidrs;
    std::string node_name;
    std::string host_network;  // "true" or "false"
    std::string phase;
    std::string pod_ip;
    std::vector<std::string> pod_ips;
    std::vector<std::string> internal_ips;
    std::string address_type;  // of the address that is being read
    std::string address;
    std::vector<Problem> problems;  // wrong types
};

// Where in an object a reader stands.
enum class ObjectPlace : std::uint8_t {
    root,
    items,
    item,
    metadata,
    annotations,
    spec,
    pod_cidrs,
    status,
    addresses,
    address,
    pod_ips,
    pod_ip,
};

enum class ExpectedForm : std::uint8_t { text, flag, map, list };
[[nodiscard]] std::string_view expectation(ExpectedForm form);

// What may stand at a key, or as an element of a list.
struct ObjectField {
    ObjectPlace place;
    std::string_view key;  // "*": any member, or a list's element
    ExpectedForm expect;
    FieldOf of;
    std::string_view path;
    ObjectPlace child = ObjectPlace::root;      // of a map or list
    std::string RawObject::* target = nullptr;  // of a text or flag that has a place of its own
};

// Null: nothing that is read. The field lives as long as the program.
[[nodiscard]] const ObjectField* find_field(ObjectPlace place, std::string_view key);

}  // namespace podlane
