// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config_tree.h"

#include <algorithm>

#include "agent/text/printable.h"

namespace podlane {
namespace {

class TreeBuilder final : public DocumentSink {
public:
    explicit TreeBuilder(std::string_view name) : name_(name) {}

    void begin_document(unsigned line) override {
        if (root_ && !root_->is_null()) {
            complain(line, "a second document: one is the whole configuration");
        }
    }
    void end_document() override {}
    void begin_map(unsigned line) override { open(ConfigNode::Type::map, line); }
    void end_map() override { open_.pop_back(); }
    void begin_list(unsigned line) override { open(ConfigNode::Type::list, line); }
    void end_list() override { open_.pop_back(); }

    void key(std::string_view text, unsigned line) override {
        auto& members = open_.back()->members;
        if (std::ranges::find(members, text, &ConfigNode::Member::key) != members.end()) {
            complain(line, fmt::format("key {} comes twice", printable(text)));
        }
        members.push_back({std::string(text), line, nullptr});
    }

    void scalar(ScalarKind kind, std::string_view text, unsigned line) override {
        ConfigNode& node = add(ConfigNode::Type::scalar, line);
        node.kind = kind;
        node.text = text;
    }

    Result<std::unique_ptr<ConfigNode>> finish() {
        if (problem_) {
            return std::unexpected(*problem_);
        }
        return std::move(root_);
    }

private:
    ConfigNode& add(ConfigNode::Type type, unsigned line) {
        auto node = std::make_unique<ConfigNode>();
        node->type = type;
        node->line = line;
        auto& place = place_of_next();
        place = std::move(node);
        return *place;
    }

    std::unique_ptr<ConfigNode>& place_of_next() {
        if (open_.empty()) {
            return root_;
        }
        ConfigNode& parent = *open_.back();
        return parent.type == ConfigNode::Type::map ? parent.members.back().value : parent.elements.emplace_back();
    }

    void open(ConfigNode::Type type, unsigned line) { open_.push_back(&add(type, line)); }

    void complain(unsigned line, std::string_view message) {
        if (!problem_) {
            problem_ = Error{0, fmt::format("{}:{}: {}", name_, line, message)};
        }
    }

    std::string_view name_;
    std::unique_ptr<ConfigNode> root_;
    std::vector<ConfigNode*> open_;
    std::optional<Error> problem_;
};

}  // namespace

Result<std::unique_ptr<ConfigNode>> read_config_tree(std::string_view text, std::string_view name) {
    TextInput input(text);
    TreeBuilder builder(name);
    if (const auto read = read_yaml(input, name, builder); !read) {
        return std::unexpected(read.error());
    }
    return builder.finish();
}

}  // namespace podlane
