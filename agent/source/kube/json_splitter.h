// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace podlane {

// Cuts a JSON text that arrives in pieces, whatever their boundaries, into objects that are small enough to be held:
// each document of a stream, or each element of a list's `items`. It knows brackets and strings; whether an object is
// valid JSON is for whoever parses it. Holds one object at a time, and of a list what stands around its items.
class JsonSplitter {
public:
    enum class Cut { documents, items };
    using TakeObject = std::function<Result<void>(std::string_view object)>;

    explicit JsonSplitter(Cut cut) : cut_(cut) {}

    // Calls `take` for every object that is complete with these bytes. After an error of either nothing more may be
    // fed.
    [[nodiscard]] Result<void> feed(std::string_view bytes, const TakeObject& take);

    // Nothing is open: the text may end here.
    [[nodiscard]] bool complete() const { return depth_ == 0; }
    // Cut::items: the list without its items ("items":[]), once complete.
    [[nodiscard]] const std::string& envelope() const { return envelope_; }
    [[nodiscard]] bool saw_items() const { return saw_items_; }

private:
    // What may come next between the elements of `items`.
    enum class Between { element, comma_or_end };

    [[nodiscard]] Result<void> structural(char c, const TakeObject& take);
    [[nodiscard]] Result<void> open(char c);
    [[nodiscard]] Result<void> close(char c, const TakeObject& take);
    [[nodiscard]] Result<void> keep(std::string_view bytes);
    [[nodiscard]] bool between_items() const { return in_items_ && !in_object_; }

    const Cut cut_;
    std::size_t depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;    // the next character of the string
    bool in_object_ = false;  // in what is being cut out
    bool in_items_ = false;   // in the list's `items`
    bool saw_items_ = false;
    bool after_key_ = false;  // cut by items, at the root: the last string was followed by a colon
    bool ended_ = false;      // cut by items: the list is over
    Between between_ = Between::element;
    std::string last_string_;  // at the root of a list, at most as long as it takes to know it
    std::string object_;
    std::string envelope_;
};

}  // namespace podlane
