// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/messages.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/text/base64.h"
#include "agent/text/printable.h"

namespace podlane::etcd {
namespace {

using nlohmann::json;

const json nothing = json::object();

const json& member(const json& object, const char* name) {
    const auto found = object.is_object() ? object.find(name) : object.end();
    return object.is_object() && found != object.end() ? *found : nothing;
}

// A text, or a number where a proxy has rewritten it. 0 where it is neither.
template <typename Number = std::int64_t>
Number number(const json& object, const char* name) {
    const auto& value = member(object, name);
    if (value.is_number_integer()) {
        return value.get<Number>();
    }
    Number result = 0;
    if (value.is_string()) {
        const auto& text = value.get_ref<const std::string&>();
        std::from_chars(text.data(), text.data() + text.size(), result);
    }
    return result;
}

std::string text(const json& object, const char* name) {
    const auto& value = member(object, name);
    return value.is_string() ? value.get<std::string>() : std::string();
}

bool flag(const json& object, const char* name) {
    return member(object, name) == true;
}

Result<json> parse(std::string_view bytes) {
    auto value = json::parse(bytes, nullptr, false);
    if (!value.is_object()) {
        return fail("not an answer of etcd's: it is no JSON object: {}", printable(bytes));
    }
    return value;
}

Position position_of(const json& answer) {
    const auto& header = member(answer, "header");
    return {.cluster = number<std::uint64_t>(header, "cluster_id"), .revision = number(header, "revision")};
}

Result<KeyValue> key_value(const json& object) {
    auto key = decode_base64(text(object, "key"));
    auto value = decode_base64(text(object, "value"));
    if (!key || key->empty() || !value) {
        return fail("a key or value in the answer is not base 64");
    }
    return KeyValue{.key = std::move(*key),
                    .value = std::move(*value),
                    .revision = number(object, "mod_revision"),
                    .lease = number(object, "lease")};
}

Result<std::vector<KeyValue>> key_values(const json& answer) {
    std::vector<KeyValue> result;
    for (const auto& each : member(answer, "kvs")) {
        auto read = key_value(each);
        if (!read) {
            return std::unexpected(read.error());
        }
        result.push_back(std::move(*read));
    }
    return result;
}

json range_of(const KeyRange& range) {
    return {{"key", encode_base64(range.first)}, {"range_end", encode_base64(range.end)}};
}

Result<Lease> lease_of(const json& answer) {
    const Lease lease{.id = number(answer, "ID"), .ttl = std::chrono::seconds(number(answer, "TTL"))};
    if (lease.id == 0) {
        return fail("the answer names no lease");
    }
    return lease;
}

}  // namespace

KeyRange keys_below(std::string prefix) {
    auto end = prefix;
    end.back() = static_cast<char>(end.back() + 1);
    return {.first = std::move(prefix), .end = std::move(end)};
}

std::string range_request(const KeyRange& range, RangeContent content) {
    auto request = range_of(range);
    if (content == RangeContent::count) {
        request["count_only"] = true;
    }
    return request.dump();
}

Result<RangeAnswer> parse_range(std::string_view text) {
    const auto answer = parse(text);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    auto values = key_values(*answer);
    if (!values) {
        return std::unexpected(values.error());
    }
    RangeAnswer range{.position = position_of(*answer), .values = std::move(*values)};
    if (range.position.revision == 0) {
        return fail("the answer has no revision: {}", printable(text));
    }
    return range;
}

std::string watch_request(const KeyRange& range, std::int64_t start_revision) {
    auto create = range_of(range);
    create["start_revision"] = std::to_string(start_revision);
    create["progress_notify"] = true;
    return json{{"create_request", std::move(create)}}.dump();
}

Result<WatchAnswer> parse_watch(std::string_view bytes) {
    const auto answer = parse(bytes);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    if (answer->contains("error")) {
        // An object, or what a proxy or an older gateway makes of it.
        const auto& error = member(*answer, "error");
        const auto said = printable(error.is_string() ? text(*answer, "error") : text(error, "message"));
        return WatchAnswer{.position = {}, .error = said.empty() ? "no reason given" : said, .events = {}};
    }
    const auto& result = member(*answer, "result");
    WatchAnswer watch{.position = position_of(result),
                      .created = flag(result, "created"),
                      .canceled = flag(result, "canceled"),
                      .compact_revision = number(result, "compact_revision"),
                      .error = printable(text(result, "cancel_reason")),
                      .events = {}};
    for (const auto& event : member(result, "events")) {
        auto read = key_value(member(event, "kv"));
        if (!read) {
            return std::unexpected(read.error());
        }
        read->deleted = text(event, "type") == "DELETE";
        watch.events.push_back(std::move(*read));
    }
    return watch;
}

Result<void> WatchMessages::feed(std::string_view bytes, const Take& take) {
    bool refused = false;
    const auto fed = splitter_.feed(bytes, [&](std::string_view text) {
        auto answer = parse_watch(text);
        auto taken = answer ? take(*answer) : Result<void>(std::unexpected(answer.error()));
        refused = !taken;
        return taken;
    });
    if (fed || refused) {
        return fed;
    }
    return fail("not an answer of etcd's, but of a proxy's perhaps: \"{}\"",
                printable(bytes.substr(0, bytes.find('\n'))));
}

std::string grant_request(std::chrono::seconds ttl) {
    return json{{"TTL", std::to_string(ttl.count())}}.dump();
}

Result<Lease> parse_grant(std::string_view text) {
    const auto answer = parse(text);
    return answer ? lease_of(*answer) : std::unexpected(answer.error());
}

std::string keep_alive_request(std::int64_t lease) {
    return json{{"ID", std::to_string(lease)}}.dump();
}

Result<Lease> parse_keep_alive(std::string_view text) {
    const auto answer = parse(text);
    return answer ? lease_of(member(*answer, "result")) : std::unexpected(answer.error());
}

std::string put_request(const Put& put) {
    const auto key = encode_base64(put.key);
    json condition = {{"key", key}};
    if (put.revision == 0) {
        condition["target"] = "VERSION";
        condition["version"] = "0";
    } else {
        condition["target"] = "MOD";
        condition["mod_revision"] = std::to_string(put.revision);
    }
    json request = {{"key", key}, {"value", encode_base64(put.value)}};
    if (put.lease != 0) {
        request["lease"] = std::to_string(put.lease);
    }
    return json{{"compare", json::array({std::move(condition)})},
                {"success", json::array({{{"request_put", std::move(request)}}})},
                {"failure", json::array({{{"request_range", {{"key", key}}}}})}}
        .dump();
}

Result<PutAnswer> parse_put(std::string_view text) {
    const auto answer = parse(text);
    if (!answer) {
        return std::unexpected(answer.error());
    }
    PutAnswer put{.done = flag(*answer, "succeeded"), .position = position_of(*answer), .found = {}};
    for (const auto& response : member(*answer, "responses")) {
        auto found = key_values(member(response, "response_range"));
        if (!found) {
            return std::unexpected(found.error());
        }
        std::ranges::move(*found, std::back_inserter(put.found));
    }
    return put;
}

std::string describe_refusal(int status, std::string_view body) {
    const auto answer = json::parse(body, nullptr, false);
    const auto message = text(answer, "message").empty() ? text(answer, "error") : text(answer, "message");
    const auto said = printable(message.empty() ? body.substr(0, body.find('\n')) : std::string_view(message));
    return said.empty() ? fmt::format("{}", status) : fmt::format("{}: {}", status, said);
}

}  // namespace podlane::etcd
