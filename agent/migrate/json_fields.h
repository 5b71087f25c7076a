// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/text/printable.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::migrate {

enum class KeyCase { exact, any };

// An address with the length of its network, host bits and all: "10.244.1.1/24".
struct Cidr {
    Ipv4Address address;
    unsigned length = 0;

    [[nodiscard]] Ipv4Prefix prefix() const { return Ipv4Prefix::masked(address, length); }
    [[nodiscard]] static Result<Cidr> parse(std::string_view text);
};

// What is wrong first with a document: "routes[2].gateway: ...".
class JsonProblem {
public:
    void report(std::string_view place, std::string_view what);
    [[nodiscard]] const std::optional<Error>& first() const { return first_; }

private:
    std::optional<Error> first_;
};

// The members of a JSON object, read one by one. What is missing or wrong goes to `problem` and reads as a default, so
// that one look at the end is enough. null counts as missing. A view: json and problem outlive it.
class JsonFields {
public:
    JsonFields(const nlohmann::json& json, std::string place, JsonProblem& problem, KeyCase key_case = KeyCase::exact);

    [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }
    [[nodiscard]] std::string place_of(std::string_view key) const;
    void report(std::string_view key, std::string_view what) { problem_->report(place_of(key), what); }

    [[nodiscard]] std::string text(std::string_view key);
    [[nodiscard]] std::optional<std::string> optional_text(std::string_view key);
    // With T::parse.
    template <typename T>
    [[nodiscard]] T parsed(std::string_view key) {
        return has(key) ? optional_parsed<T>(key).value_or(T{}) : missing<T>(key);
    }
    template <typename T>
    [[nodiscard]] std::optional<T> optional_parsed(std::string_view key) {
        const auto written = optional_text(key);
        if (!written) {
            return std::nullopt;
        }
        const auto value = T::parse(*written);
        if (!value) {
            report(key, value.error().message);
            return std::nullopt;
        }
        return *value;
    }
    [[nodiscard]] bool flag(std::string_view key, std::optional<bool> fallback = {});
    // A whole number from 0 to the largest that T or `most` holds.
    template <typename T>
    [[nodiscard]] T number(std::string_view key, std::optional<T> fallback = {},
                           std::uint64_t most = std::numeric_limits<T>::max()) {
        if (!has(key)) {
            return fallback ? *fallback : missing<T>(key);
        }
        return static_cast<T>(whole_number(key, most));
    }
    // The objects of a list; none where it is missing.
    [[nodiscard]] std::vector<JsonFields> objects(std::string_view key);
    // A missing one reads as empty.
    [[nodiscard]] JsonFields object(std::string_view key);
    // Null when there is none.
    [[nodiscard]] const nlohmann::json* find(std::string_view key) const;

private:
    template <typename T>
    [[nodiscard]] T missing(std::string_view key) {
        report(key, "is missing");
        return T{};
    }
    [[nodiscard]] std::uint64_t whole_number(std::string_view key, std::uint64_t most);

    const nlohmann::json* json_;
    std::string place_;
    JsonProblem* problem_;
    KeyCase key_case_;
};

}  // namespace podlane::migrate
