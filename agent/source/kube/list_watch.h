// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "agent/source/loss_doubt.h"

namespace podlane {

// How a list or a watch ended without success.
struct RequestFailure {
    enum class Kind : std::uint8_t {
        connection,  // no answer, or not all of it
        status,      // the server said no
        content,     // what it said makes no sense
    };
    Kind kind = Kind::connection;
    int status = 0;  // of HTTP, or the code of an ERROR event
    std::optional<std::chrono::seconds> retry_after = std::nullopt;
    std::string message = std::string();  // one line for a person
};

// What is to be asked of the API server, and when: list, watch from there, resume, list again. Pure: it is told what
// happened and the time, and says what to do next.
//
//   listing ──last page──> watching ──its time is up, cut──> watching, from the last resourceVersion
//      ^                       │
//      └──── 410 (too old) ────┘
//
// The first list may come from the server's cache, a later one from there if it is not older than what is known. One
// that has to be exact is read in pages: after a 410, and to confirm a loss. Server and network failures are retried
// with a delay that doubles from half a second to half a minute, of which a random half is taken off.
class ListWatch {
public:
    using Clock = std::chrono::steady_clock;
    using Names = LossDoubt::Names;
    using Random = std::function<double()>;  // [0, 1)

    struct Options {
        // Whether a list that lost much is to be confirmed: see LossDoubt.
        enum class Loss : std::uint8_t { believed, confirmed } loss = Loss::believed;
        Random random;
    };

    struct List {
        std::string resource_version = std::string();  // "0": any; empty: the latest
        std::string continue_token = std::string();
        unsigned limit = 0;  // 0: all at once
        bool operator==(const List&) const = default;
    };
    struct Watch {
        std::string resource_version;
        std::chrono::seconds timeout{0};  // after which the server ends it
        bool operator==(const Watch&) const = default;
    };
    struct Wait {
        Clock::time_point until;
        bool operator==(const Wait&) const = default;
    };
    struct Running {  // a request is under way
        bool operator==(const Running&) const = default;
    };
    using Step = std::variant<List, Watch, Wait, Running>;

    enum class Verdict : std::uint8_t {
        more,      // keep the page, the next one follows
        complete,  // the list holds
        doubted,   // forget the list: another one is to confirm it
    };

    explicit ListWatch(Options options) : options_(std::move(options)) {}

    // What to do now; with List and Watch the request counts as begun.
    [[nodiscard]] Step next(Clock::time_point now);

    // A page has been read. `listed`: all names of this list so far; `known`: of the state that it would replace.
    struct Page {
        std::string resource_version;
        std::string continue_token;
    };
    [[nodiscard]] Verdict listed(const Page& page, const Names& listed, const Names& known, Clock::time_point now);

    // Something came through the watch: an event or a bookmark.
    void progressed(const std::string& resource_version);
    // The watch is over, be it by its time or cut.
    void watch_ended(Clock::time_point now);
    // The request failed, or the watch said ERROR (Kind::status).
    void failed(const RequestFailure& failure, Clock::time_point now);
    // Whatever was under way has been given up: list again, at once.
    void restart(Clock::time_point now);

    // In a row, without anything good in between: after a watch that failed, a list is not enough of it.
    [[nodiscard]] unsigned failures() const { return failures_; }
    // What no repetition mends: missing rights, a wrong address. Somebody has to act.
    [[nodiscard]] static bool is_final(const RequestFailure& failure);
    [[nodiscard]] bool is_listing() const { return !watching_; }
    // A list waits to be confirmed: so many of the known names it lacks.
    [[nodiscard]] std::size_t doubted_loss() const { return doubt_.loss(); }

private:
    void list_failed(const RequestFailure& failure);
    void watch_failed(const RequestFailure& failure);
    void list_anew(std::string resource_version);
    void wait_after(const RequestFailure& failure, Clock::time_point now);
    [[nodiscard]] std::chrono::milliseconds backoff();
    [[nodiscard]] std::chrono::milliseconds spread(std::chrono::milliseconds least, std::chrono::milliseconds most);

    const Options options_;
    bool watching_ = false;
    bool running_ = false;
    Clock::time_point not_before_{};  // the next request
    Clock::time_point watch_began_{};
    bool progress_ = false;           // of this watch
    std::string list_version_ = "0";  // what the next list asks for
    std::string continue_token_;
    std::string version_;  // known last
    unsigned failures_ = 0;
    unsigned failed_watches_ = 0;   // of these; one that was too old belongs to a server's life
    unsigned refused_watches_ = 0;  // in a row, by a status
    unsigned expired_ = 0;          // 410 in a row
    unsigned unauthorized_ = 0;     // 401 in a row
    LossDoubt doubt_;
};

}  // namespace podlane
