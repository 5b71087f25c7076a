// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/flannel_entry.h"

#include <algorithm>
#include <cstring>

#include "agent/netfilter/flannel_rules_parts.h"

namespace podlane::netfilter::flannel {
namespace {

// The kernel leaves what is behind a name's zero as it was in the reader's memory.
void clear_behind_zero(char* name) {
    const auto length = strnlen(name, XT_EXTENSION_MAXNAMELEN);
    std::fill(name + length, name + XT_EXTENSION_MAXNAMELEN, '\0');
}

template <typename Visit>
void for_each_match(std::span<std::byte> entry, const Visit& visit) {
    const auto* header = reinterpret_cast<const ipt_entry*>(entry.data());
    for (std::size_t at = sizeof(ipt_entry); at + sizeof(xt_entry_match) <= header->target_offset;) {
        auto* match = reinterpret_cast<xt_entry_match*>(entry.data() + at);
        visit(*match);
        at += std::max<std::size_t>(match->u.match_size, sizeof(xt_entry_match));
    }
}

}  // namespace

std::vector<std::byte> entry_bytes(std::string_view content) {
    const auto bytes = std::as_bytes(std::span(content));
    return {bytes.begin(), bytes.end()};
}

std::string entry_content(const ipt_entry& entry, xtc_handle* table) {
    const auto* from = reinterpret_cast<const char*>(&entry);
    auto bytes = entry_bytes(std::string_view(from, entry.next_offset));
    auto* header = reinterpret_cast<ipt_entry*>(bytes.data());
    header->nfcache = 0;
    header->comefrom = 0;
    header->counters = {};
    for_each_match(bytes, [](xt_entry_match& match) { clear_behind_zero(match.u.user.name); });
    auto* target = reinterpret_cast<xt_entry_target*>(bytes.data() + header->target_offset);
    clear_behind_zero(target->u.user.name);
    // A verdict or a jump: libiptc makes it from the name.
    if (target->u.user.name[0] == '\0') {
        const std::string_view name = iptc_get_target(&entry, table);
        name.copy(target->u.user.name, XT_EXTENSION_MAXNAMELEN - 1);
        std::fill(reinterpret_cast<std::byte*>(target->data), bytes.data() + bytes.size(), std::byte{0});
    }
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string entry_comment(std::string_view content) {
    std::string comment;
    auto bytes = entry_bytes(content);
    for_each_match(bytes, [&](const xt_entry_match& match) {
        if (std::strcmp(match.u.user.name, "comment") == 0) {
            const auto* text = reinterpret_cast<const char*>(match.data);
            comment.assign(text, strnlen(text, match.u.match_size - sizeof(xt_entry_match)));
        }
    });
    return comment;
}

bool is_entry(std::string_view content) {
    auto bytes = entry_bytes(content);
    const auto* header = reinterpret_cast<const ipt_entry*>(bytes.data());
    constexpr std::size_t largest = 65535 & ~7U;
    if (bytes.size() < sizeof(ipt_entry) + sizeof(xt_entry_target) || bytes.size() > largest ||
        bytes.size() % alignof(ipt_entry) != 0 || header->next_offset != bytes.size() ||
        header->target_offset < sizeof(ipt_entry) || header->target_offset % alignof(ipt_entry) != 0 ||
        header->target_offset + sizeof(xt_entry_target) > bytes.size()) {
        return false;
    }
    const auto is_name = [](const char* name) {
        return strnlen(name, XT_EXTENSION_MAXNAMELEN) < XT_EXTENSION_MAXNAMELEN;
    };
    std::size_t at = sizeof(ipt_entry);
    while (at < header->target_offset) {
        const auto* match = reinterpret_cast<const xt_entry_match*>(bytes.data() + at);
        if (at + sizeof(xt_entry_match) > header->target_offset || match->u.match_size < sizeof(xt_entry_match) ||
            match->u.match_size % alignof(ipt_entry) != 0 || !is_name(match->u.user.name)) {
            return false;
        }
        at += match->u.match_size;
    }
    const auto* target = reinterpret_cast<const xt_entry_target*>(bytes.data() + header->target_offset);
    return at == header->target_offset && header->target_offset + target->u.target_size == bytes.size() &&
           is_name(target->u.user.name);
}

}  // namespace podlane::netfilter::flannel
