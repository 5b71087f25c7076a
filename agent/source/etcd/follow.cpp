// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/follow.h"

#include <algorithm>

namespace podlane::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds shortest_watch = seconds(300);
constexpr milliseconds longest_watch = seconds(600);
// One that is over sooner, without an event, would be asked for without end.
constexpr milliseconds short_watch = seconds(1);
// All nodes' watches end when a member ends.
constexpr milliseconds reconnect_spread = seconds(1);

}  // namespace

Follow::Step Follow::next(Clock::time_point now) {
    if (running_) {
        return Running{};
    }
    if (now < not_before_) {
        return Wait{not_before_};
    }
    running_ = true;
    switch (next_) {
        case Next::list:
            return List{};
        case Next::check:
            return Check{};
        case Next::watch:
            break;
    }
    watch_began_ = now;
    progress_ = false;
    return Watch{.start_revision = known_.revision + 1, .time = spread(random_, shortest_watch, longest_watch)};
}

Follow::Verdict Follow::listed(const Position& position, const Content& content, Clock::time_point now) {
    running_ = false;
    retry_.succeeded();
    if (doubt_.doubts(content.listed, content.known)) {
        list_anew(now + spread(random_, LossDoubt::shortest_wait, LossDoubt::longest_wait));
        return Verdict::doubted;
    }
    known_ = position;
    next_ = Next::watch;
    return Verdict::complete;
}

// That the watch is good is still to be seen.
void Follow::checked(const Position& position, Clock::time_point now) {
    running_ = false;
    if (is_behind(position)) {
        list_anew(now);
        return;
    }
    next_ = Next::watch;
}

bool Follow::is_behind(const Position& position) const {
    return position.cluster != known_.cluster || position.revision < known_.revision;
}

bool Follow::watching(const Position& position, Clock::time_point now) {
    if (is_behind(position)) {
        // The member may catch up; it, or another one, is asked for what holds.
        failed(now);
        next_ = Next::list;
        return false;
    }
    return true;
}

void Follow::progressed(std::int64_t revision) {
    known_.revision = std::max(known_.revision, revision);
    progress_ = true;
    retry_.succeeded();
}

void Follow::compacted(Clock::time_point now) {
    running_ = false;
    list_anew(now);
}

void Follow::watch_ended(Clock::time_point now) {
    if (!progress_ && now - watch_began_ < short_watch) {
        failed(now);
        return;
    }
    running_ = false;
    retry_.succeeded();
    next_ = Next::check;
    not_before_ = now + spread(random_, milliseconds(0), reconnect_spread);
}

void Follow::failed(Clock::time_point now) {
    running_ = false;
    next_ = next_ == Next::list ? Next::list : Next::check;
    not_before_ = now + retry_.failed();
}

void Follow::restart(Clock::time_point now) {
    running_ = false;
    list_anew(now);
}

void Follow::list_anew(Clock::time_point not_before) {
    next_ = Next::list;
    not_before_ = not_before;
}

}  // namespace podlane::etcd
