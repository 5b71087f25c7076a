// SPDX-License-Identifier: Apache-2.0
// What sets and verdict maps of nf_tables say of a packet.
#include <net/if.h>

#include <algorithm>
#include <cstring>

#include "agent/netfilter/ruleset_readers.h"

namespace podlane::netfilter::nft {
namespace {

std::size_t size_of(Field field) {
    switch (field) {
        case Field::in_interface:
        case Field::out_interface:
            return IFNAMSIZ;
        case Field::protocol:
            return sizeof(std::uint8_t);
        case Field::port:
            return sizeof(std::uint16_t);
        default:
            return sizeof(std::uint32_t);
    }
}

// In network byte order.
std::uint32_t number_of(const Element& element) {
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < std::min(element.key.size(), sizeof(number)); ++i) {
        number = number << 8U | std::to_integer<std::uint32_t>(element.key[i]);
    }
    return number;
}

std::uint32_t host_word(const Element& element) {
    std::uint32_t word = 0;
    std::memcpy(&word, element.key.data(), std::min(element.key.size(), sizeof(word)));
    return word;
}

// A key of several fields together has another size.
bool has_key_of(const Element& element, Field field) {
    return element.key.size() == size_of(field);
}

// Adds what one element holds of numbers: alone, or up to the end that follows it in a set of intervals.
struct Intervals {
    explicit Intervals(const std::vector<Element>& elements)
        : sorted(elements), has_ends(std::ranges::any_of(elements, [](const Element& element) {
              return element.kind == Element::Kind::end_of_interval;
          })) {
        const auto rank = [](const Element& element) {
            return std::pair(number_of(element), element.kind == Element::Kind::value);
        };
        std::ranges::sort(sorted, {}, rank);
    }
    [[nodiscard]] Range range_of(std::size_t index) const {
        const auto first = number(index);
        if (!has_ends) {
            return {first, first};
        }
        return {first, index + 1 < sorted.size() ? number(index + 1) - 1 : ~std::uint32_t{0}};
    }
    [[nodiscard]] std::uint32_t number(std::size_t index) const { return number_of(sorted[index]); }

    std::vector<Element> sorted;
    bool has_ends;
};

void add_value(Condition& condition, const Element& element) {
    if (condition.field == Field::state) {
        condition.states |= host_word(element);
        return;
    }
    const auto* text = reinterpret_cast<const char*>(element.key.data());
    condition.interfaces.push_back({.text = std::string(text, strnlen(text, element.key.size()))});
}

bool is_number(Field field) {
    return field == Field::source || field == Field::destination || field == Field::protocol || field == Field::port;
}

Condition unreadable(const Lookup& lookup) {
    return {.field = lookup.field == Field::other ? Field::other : Field::unreadable,
            .text = fmt::format("@{}", lookup.set)};
}

}  // namespace

Condition condition_of(const Lookup& lookup, const std::vector<Element>& elements) {
    const bool legible =
        lookup.field != Field::other && lookup.field != Field::unreadable && lookup.field != Field::family &&
        lookup.field != Field::translated &&
        std::ranges::all_of(elements, [&](const Element& one) { return has_key_of(one, lookup.field); });
    if (!legible) {
        return unreadable(lookup);
    }
    Condition condition{.field = lookup.field, .sense = lookup.sense};
    if (!is_number(lookup.field)) {
        // The kernel hashes them: in an order that stays.
        auto sorted = elements;
        std::ranges::sort(sorted, {}, &Element::key);
        for (const auto& element : sorted) {
            add_value(condition, element);
        }
        return condition;
    }
    const Intervals intervals(elements);
    for (std::size_t i = 0; i < intervals.sorted.size(); ++i) {
        if (intervals.sorted[i].kind == Element::Kind::value) {
            condition.ranges.push_back(intervals.range_of(i));
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
        if (is_number(condition.field)) {
            condition.ranges = {intervals.range_of(i)};
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
