// SPDX-License-Identifier: Apache-2.0
#include "agent/source/object_fields.h"

#include <algorithm>
#include <array>

namespace podlane {
namespace {

// Everything that is read of an object. Whatever is not here is skipped, whatever its form.
constexpr auto fields = std::to_array<ObjectField>({
    {ObjectPlace::root, "items", ExpectedForm::list, FieldOf::both, "items", ObjectPlace::items},
    {ObjectPlace::items, "*", ExpectedForm::map, FieldOf::both, "items", ObjectPlace::item},
    {ObjectPlace::item, "apiVersion", ExpectedForm::text, FieldOf::both, "apiVersion", {}, &RawObject::api_version},
    {ObjectPlace::item, "kind", ExpectedForm::text, FieldOf::both, "kind", {}, &RawObject::kind},
    {ObjectPlace::item, "metadata", ExpectedForm::map, FieldOf::both, "metadata", ObjectPlace::metadata},
    {ObjectPlace::item, "spec", ExpectedForm::map, FieldOf::both, "spec", ObjectPlace::spec},
    {ObjectPlace::item, "status", ExpectedForm::map, FieldOf::both, "status", ObjectPlace::status},
    {ObjectPlace::metadata, "name", ExpectedForm::text, FieldOf::both, "metadata.name", {}, &RawObject::name},
    {ObjectPlace::metadata,
     "namespace",
     ExpectedForm::text,
     FieldOf::pod,
     "metadata.namespace",
     {},
     &RawObject::name_space},
    {ObjectPlace::metadata, "uid", ExpectedForm::text, FieldOf::pod, "metadata.uid", {}, &RawObject::uid},
    {ObjectPlace::metadata,
     "deletionTimestamp",
     ExpectedForm::text,
     FieldOf::both,
     "metadata.deletionTimestamp",
     {},
     &RawObject::deletion_timestamp},
    {ObjectPlace::metadata, "annotations", ExpectedForm::map, FieldOf::both, "metadata.annotations",
     ObjectPlace::annotations},
    {ObjectPlace::annotations, "*", ExpectedForm::text, FieldOf::both, "metadata.annotations"},
    {ObjectPlace::spec, "podCIDR", ExpectedForm::text, FieldOf::node, "spec.podCIDR", {}, &RawObject::pod_cidr},
    {ObjectPlace::spec, "podCIDRs", ExpectedForm::list, FieldOf::node, "spec.podCIDRs", ObjectPlace::pod_cidrs},
    {ObjectPlace::pod_cidrs, "*", ExpectedForm::text, FieldOf::node, "spec.podCIDRs"},
    {ObjectPlace::spec, "nodeName", ExpectedForm::text, FieldOf::pod, "spec.nodeName", {}, &RawObject::node_name},
    {ObjectPlace::spec,
     "hostNetwork",
     ExpectedForm::flag,
     FieldOf::pod,
     "spec.hostNetwork",
     {},
     &RawObject::host_network},
    {ObjectPlace::status, "phase", ExpectedForm::text, FieldOf::pod, "status.phase", {}, &RawObject::phase},
    {ObjectPlace::status, "podIP", ExpectedForm::text, FieldOf::pod, "status.podIP", {}, &RawObject::pod_ip},
    {ObjectPlace::status, "podIPs", ExpectedForm::list, FieldOf::pod, "status.podIPs", ObjectPlace::pod_ips},
    {ObjectPlace::pod_ips, "*", ExpectedForm::map, FieldOf::pod, "status.podIPs", ObjectPlace::pod_ip},
    {ObjectPlace::pod_ip, "ip", ExpectedForm::text, FieldOf::pod, "status.podIPs.ip", {}, &RawObject::address},
    {ObjectPlace::status, "addresses", ExpectedForm::list, FieldOf::node, "status.addresses", ObjectPlace::addresses},
    {ObjectPlace::addresses, "*", ExpectedForm::map, FieldOf::node, "status.addresses", ObjectPlace::address},
    {ObjectPlace::address,
     "type",
     ExpectedForm::text,
     FieldOf::node,
     "status.addresses.type",
     {},
     &RawObject::address_type},
    {ObjectPlace::address,
     "address",
     ExpectedForm::text,
     FieldOf::node,
     "status.addresses.address",
     {},
     &RawObject::address},
});

}  // namespace

const ObjectField* find_field(ObjectPlace place, std::string_view key) {
    const auto found = std::ranges::find_if(
        fields, [&](const ObjectField& field) { return field.place == place && field.key == key; });
    return found == fields.end() ? nullptr : &*found;
}

std::string_view expectation(ExpectedForm expect) {
    switch (expect) {
        case ExpectedForm::text:
            return "text";
        case ExpectedForm::flag:
            return "true or false";
        case ExpectedForm::map:
            return "an object";
        case ExpectedForm::list:
            return "a list";
    }
    return "";
}

}  // namespace podlane
