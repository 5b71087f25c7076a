// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/json_fields.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace podlane::migrate {
namespace {

char lower_case(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool equal_in_any_case(std::string_view one, std::string_view other) {
    return std::ranges::equal(one, other, {}, lower_case, lower_case);
}

}  // namespace

Result<Cidr> Cidr::parse(std::string_view text) {
    const auto slash = text.find('/');
    const auto address = Ipv4Address::parse(text.substr(0, slash));
    const auto digits = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (!address || error != std::errc() || end != digits.data() + digits.size() || length > 32) {
        return fail("\"{}\" is not an IPv4 address with the length of its network", printable(text));
    }
    return Cidr{*address, length};
}

void JsonProblem::report(std::string_view place, std::string_view what) {
    if (!first_) {
        first_ = Error{0, fmt::format("{}: {}", printable(place), printable(what))};
    }
}

JsonFields::JsonFields(const nlohmann::json& json, std::string place, JsonProblem& problem, KeyCase key_case)
    : json_(&json), place_(std::move(place)), problem_(&problem), key_case_(key_case) {
    if (!json.is_object()) {
        problem.report(place_.empty() ? "the document" : place_, "not an object");
    }
}

std::string JsonFields::place_of(std::string_view key) const {
    return place_.empty() ? std::string(key) : fmt::format("{}.{}", place_, key);
}

// As Go's encoding/json: the exact key before others.
const nlohmann::json* JsonFields::find(std::string_view key) const {
    if (!json_->is_object()) {
        return nullptr;
    }
    auto found = json_->find(key);
    if (key_case_ == KeyCase::any) {
        for (auto member = json_->begin(); found == json_->end() && member != json_->end(); ++member) {
            found = equal_in_any_case(member.key(), key) ? member : found;
        }
    }
    return found == json_->end() || found->is_null() ? nullptr : &*found;
}

std::string JsonFields::text(std::string_view key) {
    return has(key) ? optional_text(key).value_or("") : missing<std::string>(key);
}

std::optional<std::string> JsonFields::optional_text(std::string_view key) {
    const auto* value = find(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (!value->is_string()) {
        report(key, "not a text");
        return std::nullopt;
    }
    return value->get<std::string>();
}

bool JsonFields::flag(std::string_view key, std::optional<bool> fallback) {
    const auto* value = find(key);
    if (value == nullptr) {
        return fallback ? *fallback : missing<bool>(key);
    }
    if (!value->is_boolean()) {
        report(key, "neither true nor false");
        return false;
    }
    return value->get<bool>();
}

std::uint64_t JsonFields::whole_number(std::string_view key, std::uint64_t most) {
    const auto* value = find(key);
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > most) {
        report(key, fmt::format("not a whole number from 0 to {}", most));
        return 0;
    }
    return value->get<std::uint64_t>();
}

std::vector<JsonFields> JsonFields::objects(std::string_view key) {
    std::vector<JsonFields> result;
    const auto* list = find(key);
    if (list != nullptr && !list->is_array()) {
        report(key, "not a list");
    } else if (list != nullptr) {
        for (const auto& element : *list) {
            result.emplace_back(element, fmt::format("{}[{}]", place_of(key), result.size()), *problem_, key_case_);
        }
    }
    return result;
}

JsonFields JsonFields::object(std::string_view key) {
    static const auto empty = nlohmann::json::object();
    const auto* value = find(key);
    return {value == nullptr ? empty : *value, place_of(key), *problem_, key_case_};
}

}  // namespace podlane::migrate
