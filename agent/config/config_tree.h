// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/text/document.h"
#include "maps/base/result.h"

namespace podlane {

// A small document as a tree that remembers lines: what messages about configuration need.
struct ConfigNode {
    enum class Type { scalar, map, list };
    struct Member {
        std::string key;
        unsigned line = 0;  // of the key
        std::unique_ptr<ConfigNode> value;
    };

    Type type = Type::scalar;
    unsigned line = 0;
    ScalarKind kind = ScalarKind::null;  // of a scalar
    std::string text;                    // of a scalar
    std::vector<Member> members;         // of a map, in the order of the text
    std::vector<std::unique_ptr<ConfigNode>> elements;

    [[nodiscard]] bool is_null() const { return type == Type::scalar && kind == ScalarKind::null; }
};

// One YAML (or JSON) document. Null: there is none, or an empty one. Errors as of read_yaml, and for a key that
// comes twice or a second document: "<name>:<line>: ...".
[[nodiscard]] Result<std::unique_ptr<ConfigNode>> read_config_tree(std::string_view text, std::string_view name);

}  // namespace podlane
