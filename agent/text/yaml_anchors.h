// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/text/document.h"

namespace podlane {

// All that aliases may add to one file. The largest honest use is a block of labels that objects share; the
// smallest "billion laughs" is far beyond.
inline constexpr std::size_t most_yaml_alias_events = 200'000;

// One event of the tree, on its own feet: libyaml's own holds what the parser frees.
struct YamlEvent {
    enum class Type { begin_map, end_map, begin_list, end_list, scalar };
    Type type;
    ScalarKind kind = ScalarKind::null;
    bool plain = false;
    unsigned line = 0;
    std::string text;
};

// Remembers the events of anchored nodes, so that their aliases can be told again.
class YamlAnchors {
public:
    void clear() {
        by_name_.clear();
        recordings_.clear();
        open_.clear();
    }

    void begin(std::string_view name) {
        by_name_.insert_or_assign(std::string(name), recordings_.size());
        open_.push_back({recordings_.size(), 0});
        recordings_.emplace_back();
    }

    // Returns false when more is remembered than any honest file needs.
    [[nodiscard]] bool record(const YamlEvent& event) {
        for (auto& [recording, depth] : open_) {
            recordings_[recording].push_back(event);
            ++recorded_;
            depth += opens(event) ? 1 : 0;
            depth -= closes(event) ? 1 : 0;
        }
        while (!open_.empty() && open_.back().depth == 0) {
            open_.pop_back();
        }
        return recorded_ <= most_yaml_alias_events;
    }

    // Null when there is no such anchor, or when its node is not complete: a node cannot hold itself.
    [[nodiscard]] const std::vector<YamlEvent>* find(std::string_view name) const {
        const auto found = by_name_.find(name);
        if (found == by_name_.end()) {
            return nullptr;
        }
        const bool complete =
            std::ranges::none_of(open_, [&](const Open& open) { return open.recording == found->second; });
        return complete ? &recordings_[found->second] : nullptr;
    }

private:
    struct Open {
        std::size_t recording;
        int depth;
    };
    static bool opens(const YamlEvent& event) {
        return event.type == YamlEvent::Type::begin_map || event.type == YamlEvent::Type::begin_list;
    }
    static bool closes(const YamlEvent& event) {
        return event.type == YamlEvent::Type::end_map || event.type == YamlEvent::Type::end_list;
    }

    std::map<std::string, std::size_t, std::less<>> by_name_;
    std::vector<std::vector<YamlEvent>> recordings_;
    std::vector<Open> open_;
    std::size_t recorded_ = 0;
};

}  // namespace podlane
