// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/etcd/layout.h"
#include "agent/source/kube/json_splitter.h"
#include "maps/base/result.h"

// Requests and answers of etcd's v3 API as its JSON gateway has them: keys and values in base 64, 64-bit numbers as
// text, what is zero or false left out (etcd, api/etcdserverpb/rpc.proto).
namespace podlane::etcd {

// From `first` to before `end`.
struct KeyRange {
    std::string first;
    std::string end;
};
// All keys that begin so; `prefix` does not end with the byte 0xff.
[[nodiscard]] KeyRange keys_below(std::string prefix);

// Of which cluster and of when an answer is.
struct Position {
    std::uint64_t cluster = 0;
    std::int64_t revision = 0;
    bool operator==(const Position&) const = default;
};
struct KeyValue {
    std::string key;
    std::string value;
    std::int64_t revision = 0;  // of its last change: here, its removal
    std::int64_t lease = 0;
    bool deleted = false;
};

struct RangeAnswer {
    Position position;
    std::vector<KeyValue> values;
};
enum class RangeContent { values, count };
[[nodiscard]] std::string range_request(const KeyRange& range, RangeContent content);
[[nodiscard]] Result<RangeAnswer> parse_range(std::string_view text);

// One message of a watch.
struct WatchAnswer {
    Position position;
    bool created = false;
    bool canceled = false;
    std::int64_t compact_revision = 0;  // not 0: what was to be watched from is gone
    std::string error;                  // the watch is over, and why
    std::vector<KeyValue> events;
};
[[nodiscard]] std::string watch_request(const KeyRange& range, std::int64_t start_revision);
[[nodiscard]] Result<WatchAnswer> parse_watch(std::string_view text);
// The body of a watch, that arrives in pieces, whatever their boundaries.
class WatchMessages {
public:
    using Take = std::function<Result<void>(const WatchAnswer& answer)>;
    // Calls `take` for every message that is complete. After an error of either nothing more may be fed.
    [[nodiscard]] Result<void> feed(std::string_view bytes, const Take& take);

private:
    JsonSplitter splitter_{JsonSplitter::Cut::documents};
};

struct Lease {
    std::int64_t id = 0;
    std::chrono::seconds ttl{0};  // 0: it is over
};
[[nodiscard]] std::string grant_request(std::chrono::seconds ttl);
[[nodiscard]] Result<Lease> parse_grant(std::string_view text);
[[nodiscard]] std::string keep_alive_request(std::int64_t lease);
[[nodiscard]] Result<Lease> parse_keep_alive(std::string_view text);

// Puts a key on the condition that it is as it was: not there (revision 0), or last changed at `revision`.
struct Put {
    std::string key;
    std::string value;
    std::int64_t lease = 0;
    std::int64_t revision = 0;
};
struct PutAnswer {
    bool done = false;
    Position position;
    std::vector<KeyValue> found;  // where it was not done: what is there
};
[[nodiscard]] std::string put_request(const Put& put);
[[nodiscard]] Result<PutAnswer> parse_put(std::string_view text);

// "404: etcdserver: requested lease not found": from the body of an answer with this status.
[[nodiscard]] std::string describe_refusal(int status, std::string_view body);

}  // namespace podlane::etcd
