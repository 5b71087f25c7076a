// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <variant>

#include "agent/source/etcd/messages.h"
#include "agent/source/etcd/retry.h"
#include "agent/source/loss_doubt.h"

namespace podlane::etcd {

// What is to be asked of etcd so that all keys of a prefix are known, and when. Pure: it is told what happened and the
// time, and says what to do next.
//
//   list ──────> watch ──its time is up, cut──> check ──> watch, from the last revision
//     ^            │                              │
//     └─ compacted ┴── another cluster, ──────────┘
//                      or one that is put back
//
// A watch tells nothing of what it does not see: a member that is cut off from the others says nothing at all. So
// none lasts longer than some minutes, and before the next one a read that a majority answers for shows that the member
// is of this cluster and knows of what is known here. Failures go to the next endpoint: see Retry.
class Follow {
public:
    using Clock = std::chrono::steady_clock;

    struct List {
        bool operator==(const List&) const = default;
    };
    struct Check {
        bool operator==(const Check&) const = default;
    };
    struct Watch {
        std::int64_t start_revision = 0;
        std::chrono::milliseconds time{0};  // after which it is to be ended
        bool operator==(const Watch&) const = default;
    };
    struct Wait {
        Clock::time_point until;
        bool operator==(const Wait&) const = default;
    };
    struct Running {  // a request is under way
        bool operator==(const Running&) const = default;
    };
    using Step = std::variant<List, Check, Watch, Wait, Running>;

    Follow(std::size_t endpoints, const Random& random) : retry_(endpoints, random), random_(random) {}

    // What to do now; with List, Check and Watch the request counts as begun.
    [[nodiscard]] Step next(Clock::time_point now);
    [[nodiscard]] std::size_t endpoint() const { return retry_.endpoint(); }

    using Names = LossDoubt::Names;
    // What a list has, and what is known that it would replace.
    struct Content {
        Names listed;
        Names known;
    };
    // A list is there. One that lost much is doubted, and to be forgotten: see LossDoubt.
    enum class Verdict : std::uint8_t { complete, doubted };
    [[nodiscard]] Verdict listed(const Position& position, const Content& content, Clock::time_point now);
    // Of the list that is doubted: so many of the known names it lacks.
    [[nodiscard]] std::size_t doubted_loss() const { return doubt_.loss(); }
    // It is of another cluster, or of before what is known.
    [[nodiscard]] bool is_behind(const Position& position) const;
    void checked(const Position& position, Clock::time_point now);

    // The watch has begun, at this position of the member's. False: it is to be cut, the member is not of this cluster
    // or has fallen behind.
    [[nodiscard]] bool watching(const Position& position, Clock::time_point now);
    // All changes up to this revision are known.
    void progressed(std::int64_t revision);
    // What was to be watched from is gone.
    void compacted(Clock::time_point now);
    // The watch is over, be it by its time or cut.
    void watch_ended(Clock::time_point now);
    // The request failed.
    void failed(Clock::time_point now);
    // Whatever was under way has been given up: list again, at once.
    void restart(Clock::time_point now);

    [[nodiscard]] std::size_t failures() const { return retry_.failures(); }

private:
    enum class Next : std::uint8_t { list, check, watch };

    void list_anew(Clock::time_point not_before);

    Retry retry_;
    Random random_;
    Next next_ = Next::list;
    bool running_ = false;
    LossDoubt doubt_;
    Clock::time_point not_before_{};
    Clock::time_point watch_began_{};
    bool progress_ = false;  // of this watch
    Position known_;
};

}  // namespace podlane::etcd
