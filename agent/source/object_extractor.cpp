// SPDX-License-Identifier: Apache-2.0
#include "agent/source/object_extractor.h"

#include <algorithm>
#include <utility>

#include "agent/text/printable.h"

namespace podlane {

namespace {

std::string_view name_of(ScalarKind kind) {
    switch (kind) {
        case ScalarKind::null:
            return "null";
        case ScalarKind::boolean:
            return "a boolean";
        case ScalarKind::number:
            return "a number";
        case ScalarKind::text:
            return "text";
    }
    return "";
}

// "Node" for NodeList; empty for a list of mixed kinds.
std::string_view kind_of_items(std::string_view list_kind) {
    if (list_kind == "NodeList" || list_kind == "PodList") {
        return list_kind.substr(0, list_kind.size() - std::string_view("List").size());
    }
    return {};
}

bool is_known_list(std::string_view kind) {
    return kind == "List" || kind == "NodeList" || kind == "PodList";
}

}  // namespace

void ObjectExtractor::begin_document(unsigned line) {
    places_.clear();
    skipping_ = 0;
    root_ = RawObject(line);
    in_item_ = false;
    has_items_ = false;
    item_count_ = 0;
    kindless_.clear();
    document_start_ = {result_.nodes.size(), result_.pods.size(), result_.warnings.size()};
}

void ObjectExtractor::key(std::string_view text, unsigned /*line*/) {
    if (skipping_ > 0) {
        return;
    }
    const ObjectPlace place = places_.back();
    if (place == ObjectPlace::annotations) {
        field_ = is_relevant_annotation(text) ? find_field(place, "*") : nullptr;
        annotation_ = field_ == nullptr ? std::string_view() : text;
        return;
    }
    field_ = find_field(place, text);
    if (field_ == nullptr && place == ObjectPlace::root) {
        field_ = find_field(ObjectPlace::item, text);
    }
}

// The field that a value at this point belongs to; null: one that is not read.
const ObjectField* ObjectExtractor::current_field() const {
    switch (places_.back()) {
        case ObjectPlace::items:
        case ObjectPlace::pod_cidrs:
        case ObjectPlace::addresses:
        case ObjectPlace::pod_ips:
            return find_field(places_.back(), "*");
        default:
            return field_;
    }
}

void ObjectExtractor::begin_map(unsigned line) {
    if (skipping_ == 0 && places_.empty()) {
        root_.line = line;
        ++documents_;
        places_.push_back(ObjectPlace::root);
        return;
    }
    begin(ExpectedForm::map, line);
}

void ObjectExtractor::begin_list(unsigned line) {
    if (skipping_ == 0 && places_.empty()) {
        broken(line, "a list is no Kubernetes object");
        skipping_ = 1;
        return;
    }
    begin(ExpectedForm::list, line);
}

void ObjectExtractor::begin(ExpectedForm expect, unsigned line) {
    if (skipping_ > 0) {
        ++skipping_;
        return;
    }
    const ObjectField* field = current_field();
    if (field != nullptr && field->expect == expect) {
        enter(field->child, line);
        return;
    }
    if (field != nullptr) {
        wrong_type(*field, expectation(expect), line);
    }
    skipping_ = 1;
}

void ObjectExtractor::enter(ObjectPlace place, unsigned line) {
    // A key that comes twice counts with its last value, as in Kubernetes.
    switch (place) {
        case ObjectPlace::items:
            has_items_ = true;
            break;
        case ObjectPlace::item:
            item_ = RawObject(line, item_count_++);
            in_item_ = true;
            break;
        case ObjectPlace::pod_cidrs:
            raw().pod_cidrs.clear();
            break;
        case ObjectPlace::addresses:
            raw().internal_ips.clear();
            break;
        case ObjectPlace::pod_ips:
            raw().pod_ips.clear();
            break;
        case ObjectPlace::address:
        case ObjectPlace::pod_ip:
            raw().address_type.clear();
            raw().address.clear();
            break;
        default:
            break;
    }
    places_.push_back(place);
}

void ObjectExtractor::end() {
    if (skipping_ > 0) {
        --skipping_;
        return;
    }
    const ObjectPlace place = places_.back();
    places_.pop_back();
    if (place == ObjectPlace::item) {
        in_item_ = false;
        finish_item();
    } else if (place == ObjectPlace::address && raw().address_type == "InternalIP") {
        raw().internal_ips.push_back(raw().address);
    } else if (place == ObjectPlace::pod_ip && !raw().address.empty()) {
        raw().pod_ips.push_back(raw().address);
    }
}

void ObjectExtractor::scalar(ScalarKind kind, std::string_view text, unsigned line) {
    if (skipping_ > 0) {
        return;
    }
    if (places_.empty()) {
        if (kind != ScalarKind::null) {
            broken(line, "a plain value is no Kubernetes object");
        }
        return;
    }
    const ObjectField* field = current_field();
    if (field == nullptr) {
        return;
    }
    const bool element = field->key == "*" && places_.back() != ObjectPlace::annotations;
    if (kind == ScalarKind::null && !element) {
        if (field->child == ObjectPlace::items) {
            has_items_ = true;
            if (text.empty()) {
                broken(line, "items has no value: the file seems to be cut off");
            }
        }
        return;
    }
    const bool good = (field->expect == ExpectedForm::text && kind == ScalarKind::text) ||
                      (field->expect == ExpectedForm::flag && kind == ScalarKind::boolean);
    if (!good) {
        wrong_type(*field, name_of(kind), line);
        return;
    }
    // YAML writes "True" as well.
    take_text(*field,
              kind == ScalarKind::text ? text : (text.starts_with('t') || text.starts_with('T') ? "true" : "false"));
}

void ObjectExtractor::take_text(const ObjectField& field, std::string_view text) {
    if (field.target != nullptr) {
        raw().*field.target = text;
    } else if (field.place == ObjectPlace::annotations) {
        raw().annotations.insert_or_assign(annotation_, std::string(text));
    } else if (field.place == ObjectPlace::pod_cidrs) {
        raw().pod_cidrs.emplace_back(text);
    }
}

void ObjectExtractor::wrong_type(const ObjectField& field, std::string_view found, unsigned line) {
    if (field.place == ObjectPlace::items) {
        const auto index = item_count_++;
        result_.warnings.push_back({.object = fmt::format("item {}", index),
                                    .field = "items",
                                    .message = fmt::format("must be an object, not {}", found),
                                    .origin = fmt::format("{}:{}", options_.name, line)});
        return;
    }
    if (field.child == ObjectPlace::items) {
        broken(line, fmt::format("items must be a list, not {}", found));
        return;
    }
    std::string path(field.path);
    if (field.place == ObjectPlace::annotations) {
        path = fmt::format("{}[{}]", path, printable(annotation_));
    }
    raw().problems.push_back({field.of, path, fmt::format("must be {}, not {}", expectation(field.expect), found)});
}

void ObjectExtractor::broken(unsigned line, std::string_view message) {
    if (!error_) {
        error_ = Error{0, fmt::format("{}:{}: {}", options_.name, line, message)};
    }
}

void ObjectExtractor::finish_item() {
    if (!item_.kind.empty()) {
        place(item_, item_.kind);
    } else if (!root_.kind.empty()) {
        place(item_, kind_of_items(root_.kind));
    } else if (item_.node_name.empty() || item_.node_name == options_.node_name) {
        kindless_.push_back(std::move(item_));
    } else {
        ++result_.pods_elsewhere;  // only pods have a spec.nodeName
    }
}

void ObjectExtractor::end_document() {
    if (documents_ == finished_documents_) {
        return;  // nothing but white space and comments between two separators
    }
    finished_documents_ = documents_;
    if (root_.kind.empty()) {
        root_.kind = options_.kind;
    }
    if (root_.kind.empty()) {
        broken(root_.line, "there is no kind: not a Kubernetes object, or cut off");
    } else if (!is_known_list(root_.kind)) {
        // What some other kind calls items is none of ours.
        result_.nodes.resize(document_start_.nodes);
        result_.pods.resize(document_start_.pods);
        result_.warnings.resize(document_start_.warnings);
        place(root_, root_.kind);
    } else if (!has_items_) {
        broken(root_.line, fmt::format("{} without items: the file seems to be cut off", root_.kind));
    } else {
        for (RawObject& object : kindless_) {
            place(object, kind_of_items(root_.kind));
        }
    }
}

Result<ReadObjects> ObjectExtractor::finish() {
    if (!error_ && documents_ == 0) {
        broken(1, "the file is empty");
    }
    if (error_) {
        return std::unexpected(*error_);
    }
    return std::move(result_);
}

void ObjectExtractor::place(RawObject& object, std::string_view kind) {
    const bool core = object.api_version.empty() || object.api_version == "v1";
    if (kind.empty()) {
        result_.warnings.push_back({.object = fmt::format("item {}", object.item.value_or(0)),
                                    .field = "kind",
                                    .message = "is missing",
                                    .origin = origin(object)});
    } else if (core && kind == "Node") {
        add_node(object);
    } else if (core && kind == "Pod") {
        add_pod(object);
    } else {
        ++result_.other_kinds;
    }
}

void ObjectExtractor::add_node(RawObject& object) {
    if (refuse(object, FieldOf::node, fmt::format("node {}", printable(object.name)))) {
        return;
    }
    NodeObject node;
    node.name = std::move(object.name);
    node.annotations = std::move(object.annotations);
    node.pod_cidrs = std::move(object.pod_cidrs);
    if (node.pod_cidrs.empty() && !object.pod_cidr.empty()) {
        node.pod_cidrs.push_back(std::move(object.pod_cidr));
    }
    node.internal_ips = std::move(object.internal_ips);
    node.deleting = !object.deletion_timestamp.empty();
    node.origin = origin(object);
    result_.nodes.push_back(std::move(node));
}

void ObjectExtractor::add_pod(RawObject& object) {
    const bool unreadable_node =
        std::ranges::any_of(object.problems, [](const auto& problem) { return problem.field == "spec.nodeName"; });
    if (object.node_name != options_.node_name && !unreadable_node) {
        ++result_.pods_elsewhere;
        return;
    }
    if (object.name_space.empty()) {
        object.name_space = "default";
    }
    if (refuse(object, FieldOf::pod, fmt::format("pod {}/{}", printable(object.name_space), printable(object.name)))) {
        return;
    }
    PodObject pod;
    pod.name_space = std::move(object.name_space);
    pod.name = std::move(object.name);
    pod.uid = std::move(object.uid);
    pod.annotations = std::move(object.annotations);
    pod.node_name = std::move(object.node_name);
    pod.host_network = object.host_network == "true";
    pod.phase = std::move(object.phase);
    pod.pod_ips = std::move(object.pod_ips);
    if (pod.pod_ips.empty() && !object.pod_ip.empty()) {
        pod.pod_ips.push_back(std::move(object.pod_ip));
    }
    pod.deleting = !object.deletion_timestamp.empty();
    pod.origin = origin(object);
    result_.pods.push_back(std::move(pod));
}

bool ObjectExtractor::refuse(const RawObject& object, FieldOf of, std::string_view what) {
    const auto refuse_for = [&](std::string_view field, std::string_view message) {
        result_.warnings.push_back({std::string(what), std::string(field), std::string(message), origin(object)});
        return true;
    };
    for (const auto& problem : object.problems) {
        if ((std::to_underlying(problem.of) & std::to_underlying(of)) != 0) {
            return refuse_for(problem.field, problem.message);
        }
    }
    if (object.name.empty()) {
        return refuse_for("metadata.name", "is missing");
    }
    // The API server allows far less; this much keeps names apart from paths and lines of a log.
    constexpr std::size_t longest_name = 253;
    if (object.name.size() > longest_name || printable(object.name) != object.name || object.name.contains('/') ||
        object.name_space.contains('/')) {
        return refuse_for("metadata.name", "is not a name that Kubernetes allows");
    }
    return false;
}

std::string ObjectExtractor::origin(const RawObject& object) const {
    // In JSON as the API server prints it everything is on one line.
    if (object.item && object.line == root_.line) {
        return fmt::format("{}: items[{}]", options_.name, *object.item);
    }
    return fmt::format("{}:{}", options_.name, object.line);
}

}  // namespace podlane
