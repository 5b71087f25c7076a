// SPDX-License-Identifier: Apache-2.0
// What sets and verdict maps of nf_tables say of a packet.
#include <net/if.h>

#include <algorithm>
#include <cstring>

#include "agent/netfilter/ruleset_readers.h"

namespace podlane::netfilter::nft {
namespace {

constexpr std::size_t word_size = 4;

std::uint32_t host_word(const Element& element) {
    std::uint32_t word = 0;
    std::memcpy(&word, element.key.data(), std::min(element.key.size(), sizeof(word)));
    return word;
}

// A key of several fields together has another size.
bool has_key_of(const Element& element, Field field) {
    const bool interface = field == Field::in_interface || field == Field::out_interface;
    return element.key.size() == (interface ? std::size_t{IFNAMSIZ} : word_size);
}

// Adds what one element holds of addresses: alone, or up to the end that follows it in a set of intervals.
struct Intervals {
    explicit Intervals(const std::vector<Element>& elements) : sorted(elements) {
        const auto rank = [](const Element& element) {
            return std::pair(Ipv4Address::from_wire(host_word(element)).host(), element.kind == Element::Kind::value);
        };
        std::ranges::sort(sorted, {}, rank);
        has_ends = std::ranges::any_of(
            sorted, [](const Element& element) { return element.kind == Element::Kind::end_of_interval; });
    }
    [[nodiscard]] AddressRange range_of(std::size_t index) const {
        const auto first = address(index);
        if (!has_ends) {
            return {first, first};
        }
        return {first, index + 1 < sorted.size() ? address(index + 1) - 1 : ~std::uint32_t{0}};
    }
    [[nodiscard]] std::uint32_t address(std::size_t index) const {
        return Ipv4Address::from_wire(host_word(sorted[index])).host();
    }

    std::vector<Element> sorted;
    bool has_ends = false;
};

void add_value(Condition& condition, const Element& element) {
    if (condition.field == Field::state) {
        condition.states |= host_word(element);
        return;
    }
    const auto* text = reinterpret_cast<const char*>(element.key.data());
    condition.interfaces.push_back({.text = std::string(text, strnlen(text, element.key.size()))});
}

bool is_address(Field field) {
    return field == Field::source || field == Field::destination;
}

Condition unreadable(const Lookup& lookup) {
    return {.field = lookup.field == Field::other ? Field::other : Field::unreadable,
            .text = fmt::format("@{}", lookup.set)};
}

}  // namespace

Condition condition_of(const Lookup& lookup, const std::vector<Element>& elements) {
    const bool legible =
        lookup.field != Field::other && lookup.field != Field::unreadable && lookup.field != Field::family &&
        std::ranges::all_of(elements, [&](const Element& one) { return has_key_of(one, lookup.field); });
    if (!legible) {
        return unreadable(lookup);
    }
    Condition condition{.field = lookup.field, .sense = lookup.sense};
    if (!is_address(lookup.field)) {
        for (const auto& element : elements) {
            add_value(condition, element);
        }
        return condition;
    }
    const Intervals intervals(elements);
    for (std::size_t i = 0; i < intervals.sorted.size(); ++i) {
        if (intervals.sorted[i].kind == Element::Kind::value) {
            condition.addresses.push_back(intervals.range_of(i));
        }
    }
    return condition;
}

std::vector<Rule> rules_of(const Rule& rule, const Lookup& lookup, const std::vector<Element>& elements) {
    std::vector<Rule> rules;
    const auto add = [&](Condition condition, const Element& element) {
        Rule one = rule;
        one.conditions.insert(one.conditions.begin() + static_cast<std::ptrdiff_t>(lookup.at), std::move(condition));
        one.act = element.act;
        one.target = element.target;
        rules.push_back(std::move(one));
    };
    const Intervals intervals(elements);
    for (std::size_t i = 0; i < intervals.sorted.size(); ++i) {
        const auto& element = intervals.sorted[i];
        if (element.kind == Element::Kind::end_of_interval || element.key.empty()) {
            continue;
        }
        auto condition = condition_of(lookup, {element});
        if (is_address(condition.field)) {
            condition.addresses = {intervals.range_of(i)};
        }
        add(std::move(condition), element);
    }
    // What no other element has comes last.
    for (const auto& element : elements) {
        if (element.key.empty()) {
            Rule one = rule;
            one.act = element.act;
            one.target = element.target;
            rules.push_back(std::move(one));
        }
    }
    return rules;
}

}  // namespace podlane::netfilter::nft
