// SPDX-License-Identifier: Apache-2.0
#include "agent/source/object_extractor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/text/printable.h"

namespace podlane {

// What may stand at a key, or as an element of a list.
struct ObjectExtractor::Field {
    Place place;
    std::string_view key;  // "*": any member, or a list's element
    Expect expect;
    FieldOf of;
    std::string_view path;
    Place child = Place::root;                  // of a map or list
    std::string RawObject::* target = nullptr;  // of a text or flag; null: see take_text
};

namespace {

using Place = ObjectExtractor::Place;
using Field = ObjectExtractor::Field;
using Expect = ObjectExtractor::Expect;

// Everything that is read of an object. Whatever is not here is skipped, whatever its form.
constexpr auto fields = std::to_array<Field>({
    {Place::root, "items", Expect::list, FieldOf::both, "items", Place::items},
    {Place::items, "*", Expect::map, FieldOf::both, "items", Place::item},
    {Place::item, "apiVersion", Expect::text, FieldOf::both, "apiVersion", {}, &RawObject::api_version},
    {Place::item, "kind", Expect::text, FieldOf::both, "kind", {}, &RawObject::kind},
    {Place::item, "metadata", Expect::map, FieldOf::both, "metadata", Place::metadata},
    {Place::item, "spec", Expect::map, FieldOf::both, "spec", Place::spec},
    {Place::item, "status", Expect::map, FieldOf::both, "status", Place::status},
    {Place::metadata, "name", Expect::text, FieldOf::both, "metadata.name", {}, &RawObject::name},
    {Place::metadata, "namespace", Expect::text, FieldOf::pod, "metadata.namespace", {}, &RawObject::name_space},
    {Place::metadata, "uid", Expect::text, FieldOf::pod, "metadata.uid", {}, &RawObject::uid},
    {Place::metadata, "deletionTimestamp", Expect::text, FieldOf::both, "metadata.deletionTimestamp", {},
     &RawObject::deletion_timestamp},
    {Place::metadata, "annotations", Expect::map, FieldOf::both, "metadata.annotations", Place::annotations},
    {Place::annotations, "*", Expect::text, FieldOf::both, "metadata.annotations"},
    {Place::spec, "podCIDR", Expect::text, FieldOf::node, "spec.podCIDR", {}, &RawObject::pod_cidr},
    {Place::spec, "podCIDRs", Expect::list, FieldOf::node, "spec.podCIDRs", Place::pod_cidrs},
    {Place::pod_cidrs, "*", Expect::text, FieldOf::node, "spec.podCIDRs"},
    {Place::spec, "nodeName", Expect::text, FieldOf::pod, "spec.nodeName", {}, &RawObject::node_name},
    {Place::spec, "hostNetwork", Expect::flag, FieldOf::pod, "spec.hostNetwork", {}, &RawObject::host_network},
    {Place::status, "phase", Expect::text, FieldOf::pod, "status.phase", {}, &RawObject::phase},
    {Place::status, "podIP", Expect::text, FieldOf::pod, "status.podIP", {}, &RawObject::pod_ip},
    {Place::status, "podIPs", Expect::list, FieldOf::pod, "status.podIPs", Place::pod_ips},
    {Place::pod_ips, "*", Expect::map, FieldOf::pod, "status.podIPs", Place::pod_ip},
    {Place::pod_ip, "ip", Expect::text, FieldOf::pod, "status.podIPs.ip", {}, &RawObject::address},
    {Place::status, "addresses", Expect::list, FieldOf::node, "status.addresses", Place::addresses},
    {Place::addresses, "*", Expect::map, FieldOf::node, "status.addresses", Place::address},
    {Place::address, "type", Expect::text, FieldOf::node, "status.addresses.type", {}, &RawObject::address_type},
    {Place::address, "address", Expect::text, FieldOf::node, "status.addresses.address", {}, &RawObject::address},
});

const Field* find_field(Place place, std::string_view key) {
    const auto found = std::ranges::find_if(
        fields, [&](const Field& field) { return field.place == place && field.key == key; });
    return found == fields.end() ? nullptr : &*found;
}

std::string_view expectation(Expect expect) {
    switch (expect) {
        case Expect::text:
            return "text";
        case Expect::flag:
            return "true or false";
        case Expect::map:
            return "an object";
        case Expect::list:
            return "a list";
    }
    return "";
}

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
    const Place place = places_.back();
    if (place == Place::annotations) {
        field_ = is_relevant_annotation(text) ? find_field(place, "*") : nullptr;
        annotation_ = field_ == nullptr ? std::string_view() : text;
        return;
    }
    field_ = find_field(place, text);
    if (field_ == nullptr && place == Place::root) {
        field_ = find_field(Place::item, text);
    }
}

// The field that a value at this point belongs to; null: one that is not read.
const ObjectExtractor::Field* ObjectExtractor::current_field() const {
    switch (places_.back()) {
        case Place::items:
        case Place::pod_cidrs:
        case Place::addresses:
        case Place::pod_ips:
            return find_field(places_.back(), "*");
        default:
            return field_;
    }
}

void ObjectExtractor::begin_map(unsigned line) {
    if (skipping_ == 0 && places_.empty()) {
        root_.line = line;
        ++documents_;
        places_.push_back(Place::root);
        return;
    }
    begin(Expect::map, line);
}

void ObjectExtractor::begin_list(unsigned line) {
    if (skipping_ == 0 && places_.empty()) {
        broken(line, "a list is no Kubernetes object");
        skipping_ = 1;
        return;
    }
    begin(Expect::list, line);
}

void ObjectExtractor::begin(Expect expect, unsigned line) {
    if (skipping_ > 0) {
        ++skipping_;
        return;
    }
    const Field* field = current_field();
    if (field != nullptr && field->expect == expect) {
        enter(field->child, line);
        return;
    }
    if (field != nullptr) {
        wrong_type(*field, expectation(expect), line);
    }
    skipping_ = 1;
}

void ObjectExtractor::enter(Place place, unsigned line) {
    // A key that comes twice counts with its last value, as in Kubernetes.
    switch (place) {
        case Place::items:
            has_items_ = true;
            break;
        case Place::item:
            item_ = RawObject(line, item_count_++);
            in_item_ = true;
            break;
        case Place::pod_cidrs:
            raw().pod_cidrs.clear();
            break;
        case Place::addresses:
            raw().internal_ips.clear();
            break;
        case Place::pod_ips:
            raw().pod_ips.clear();
            break;
        case Place::address:
        case Place::pod_ip:
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
    const Place place = places_.back();
    places_.pop_back();
    if (place == Place::item) {
        in_item_ = false;
        finish_item();
    } else if (place == Place::address && raw().address_type == "InternalIP") {
        raw().internal_ips.push_back(raw().address);
    } else if (place == Place::pod_ip && !raw().address.empty()) {
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
    const Field* field = current_field();
    if (field == nullptr) {
        return;
    }
    const bool element = field->key == "*" && places_.back() != Place::annotations;
    if (kind == ScalarKind::null && !element) {
        if (field->child == Place::items) {
            has_items_ = true;
            if (text.empty()) {
                broken(line, "items has no value: the file seems to be cut off");
            }
        }
        return;
    }
    const bool good = (field->expect == Expect::text && kind == ScalarKind::text) ||
                      (field->expect == Expect::flag && kind == ScalarKind::boolean);
    if (!good) {
        wrong_type(*field, name_of(kind), line);
        return;
    }
    // YAML writes "True" as well.
    take_text(*field, kind == ScalarKind::text ? text : (text.starts_with('t') || text.starts_with('T') ? "true" : "false"));
}

void ObjectExtractor::take_text(const Field& field, std::string_view text) {
    if (field.target != nullptr) {
        raw().*field.target = text;
    } else if (field.place == Place::annotations) {
        raw().annotations.insert_or_assign(annotation_, std::string(text));
    } else if (field.place == Place::pod_cidrs) {
        raw().pod_cidrs.emplace_back(text);
    }
}

void ObjectExtractor::wrong_type(const Field& field, std::string_view found, unsigned line) {
    if (field.place == Place::items) {
        const auto index = item_count_++;
        result_.warnings.push_back({.object = fmt::format("item {}", index),
                                    .field = "items",
                                    .message = fmt::format("must be an object, not {}", found),
                                    .origin = fmt::format("{}:{}", options_.name, line)});
        return;
    }
    if (field.child == Place::items) {
        broken(line, fmt::format("items must be a list, not {}", found));
        return;
    }
    std::string path(field.path);
    if (field.place == Place::annotations) {
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
    const bool unreadable_node = std::ranges::any_of(
        object.problems, [](const auto& problem) { return problem.field == "spec.nodeName"; });
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
    if (object.name.size() > longest_name || printable(object.name) != object.name ||
        object.name.contains('/') || object.name_space.contains('/')) {
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
