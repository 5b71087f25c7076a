// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "agent/source/kube/json_splitter.h"
#include "agent/source/kube/object_head.h"
#include "agent/source/object_extractor.h"
#include "agent/source/object_reader.h"
#include "maps/base/result.h"

namespace podlane {

// What is read of the API.
enum class KubeKind : std::uint8_t { node, pod };
[[nodiscard]] std::string_view kind_name(KubeKind kind);  // "Node"

struct DecodeOptions {
    KubeKind kind = KubeKind::node;
    std::string node_name;  // whose pods are kept
    std::string origin;     // of the objects, for messages
};

// One page of a list.
struct ListPage {
    ReadObjects objects;           // their origin is DecodeOptions::origin, so that equal objects compare equal
    std::string resource_version;  // where a watch begins
    std::string continue_token;    // empty: the last page
};

// Reads a NodeList or PodList as its bytes arrive: memory grows with what is kept of the objects, not with the text.
class ListDecoder {
public:
    explicit ListDecoder(DecodeOptions options);
    ListDecoder(const ListDecoder&) = delete;
    ListDecoder& operator=(const ListDecoder&) = delete;
    ~ListDecoder() = default;

    // After an error nothing more may be fed.
    [[nodiscard]] Result<void> feed(std::string_view bytes);
    // After the last byte. An error: the text was cut off, or is no such list.
    [[nodiscard]] Result<ListPage> finish();

private:
    const DecodeOptions options_;
    const ReadOptions read_options_;
    ObjectExtractor extractor_;
    JsonSplitter splitter_{JsonSplitter::Cut::items};
    bool has_objects_ = false;
};

struct WatchEvent {
    enum class Type : std::uint8_t { added, modified, deleted, bookmark, error };
    Type type = Type::added;
    ObjectHead head;      // of the object; with `error` of a Status
    ReadObjects objects;  // the object; none where it had to be left out (a warning says why), nor with bookmark, error
};

// Reads the events of a watch as their bytes arrive.
class WatchDecoder {
public:
    using TakeEvent = std::function<Result<void>(WatchEvent event)>;

    explicit WatchDecoder(DecodeOptions options) : options_(std::move(options)) {}

    // Calls `take` for each event that is complete with these bytes. After an error, be it of `take`, nothing more may
    // be fed. Events of a type that is not known are skipped.
    [[nodiscard]] Result<void> feed(std::string_view bytes, const TakeEvent& take);
    // False: the stream ended in the middle of an event, which is not told.
    [[nodiscard]] bool complete() const { return splitter_.complete(); }

private:
    [[nodiscard]] Result<void> take_document(std::string_view text, const TakeEvent& take) const;

    const DecodeOptions options_;
    JsonSplitter splitter_{JsonSplitter::Cut::documents};
};

// The head of a whole object, such as the Status of a refused request.
[[nodiscard]] Result<ObjectHead> read_object_head(std::string_view text);

}  // namespace podlane
