// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a list or a watch of the API server: whatever pieces they come in, the same is made of
// them, and a list that is taken is valid JSON as a whole. The first byte says in which pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/source/kube/decoder.h"

namespace podlane {
namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

// In pieces of one length; an error ends it.
template <typename Feed>
std::optional<Error> feed_in_pieces(std::string_view text, std::size_t piece, const Feed& feed) {
    for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
        if (auto fed = feed(text.substr(0, piece)); !fed) {
            return fed.error();
        }
    }
    return std::nullopt;
}

bool is_one_line(const std::string& text) {
    return !text.empty() && text.find('\n') == std::string::npos;
}

bool same_objects(const ReadObjects& one, const ReadObjects& other) {
    return one.nodes == other.nodes && one.pods == other.pods && one.warnings == other.warnings &&
           one.pods_elsewhere == other.pods_elsewhere;
}

// No byte is cut out twice.
struct Cut {
    std::vector<std::string> objects;
    std::optional<std::string> error;
    std::string envelope;
    bool complete = false;

    bool operator==(const Cut&) const = default;
};
Cut cut(std::string_view text, std::size_t piece, JsonSplitter::Cut how) {
    JsonSplitter splitter(how);
    Cut result;
    const auto take = [&](std::string_view object) {
        // Which bracket closes it is for the parser to judge.
        require(object.starts_with('{') && (object.ends_with('}') || object.ends_with(']')));
        result.objects.emplace_back(object);
        return Result<void>();
    };
    const auto error = feed_in_pieces(text, piece, [&](std::string_view bytes) { return splitter.feed(bytes, take); });
    if (error) {
        result.error = error->message;
        return result;  // what it keeps of the piece that is wrong depends on the piece
    }
    std::size_t size = splitter.envelope().size();
    for (const auto& object : result.objects) {
        size += object.size();
    }
    require(size <= text.size());
    result.envelope = splitter.envelope();
    result.complete = splitter.complete();
    return result;
}

struct Listed {
    std::optional<ListPage> page;
    std::string error;
};
Listed list(const DecodeOptions& options, std::string_view text, std::size_t piece) {
    ListDecoder decoder(options);
    if (const auto error = feed_in_pieces(text, piece, [&](std::string_view bytes) { return decoder.feed(bytes); })) {
        return {.page = std::nullopt, .error = error->message};
    }
    auto page = decoder.finish();
    return page ? Listed{.page = std::move(*page), .error = ""}
                : Listed{.page = std::nullopt, .error = page.error().message};
}

// A list that is taken is one in the eyes of a reader that sees all of it at once.
void check_list(const DecodeOptions& options, std::string_view text, std::size_t piece) {
    const auto whole = list(options, text, text.size());
    const auto pieces = list(options, text, piece);
    require(whole.page.has_value() == pieces.page.has_value() && whole.error == pieces.error);
    if (!whole.page) {
        require(is_one_line(whole.error));
        return;
    }
    require(same_objects(whole.page->objects, pieces.page->objects));
    require(whole.page->resource_version == pieces.page->resource_version &&
            whole.page->continue_token == pieces.page->continue_token && !whole.page->resource_version.empty());
    const auto head = read_object_head(text);
    require(head && head->items != ObjectHead::Items::absent);
    for (const auto& pod : whole.page->objects.pods) {
        require(!pod.name.empty() && pod.node_name == options.node_name && pod.origin == options.origin);
    }
    for (const auto& node : whole.page->objects.nodes) {
        require(!node.name.empty() && node.origin == options.origin);
    }
}

struct Watched {
    std::vector<WatchEvent> events;
    std::optional<std::string> error;
    bool complete = false;
};
Watched watch(const DecodeOptions& options, std::string_view text, std::size_t piece) {
    WatchDecoder decoder(options);
    Watched result;
    const auto take = [&](WatchEvent event) {
        result.events.push_back(std::move(event));
        return Result<void>();
    };
    if (const auto error =
            feed_in_pieces(text, piece, [&](std::string_view bytes) { return decoder.feed(bytes, take); })) {
        result.error = error->message;
        require(is_one_line(*result.error));
    } else {
        result.complete = decoder.complete();
    }
    return result;
}

void check_watch(const DecodeOptions& options, std::string_view text, std::size_t piece) {
    const auto whole = watch(options, text, text.size());
    const auto pieces = watch(options, text, piece);
    require(whole.error == pieces.error && whole.complete == pieces.complete &&
            whole.events.size() == pieces.events.size());
    for (std::size_t i = 0; i < whole.events.size(); ++i) {
        const auto& event = whole.events[i];
        require(event.type == pieces.events[i].type && event.head == pieces.events[i].head &&
                same_objects(event.objects, pieces.events[i].objects));
        require(event.type == WatchEvent::Type::error || !event.head.resource_version.empty());
    }
}

}  // namespace
}  // namespace podlane

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace podlane;
    if (size < 2) {
        return 0;
    }
    constexpr std::size_t most = 61;
    const std::size_t piece = 1 + data[0] % most;
    const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    for (const auto how : {JsonSplitter::Cut::documents, JsonSplitter::Cut::items}) {
        require(cut(text, text.size(), how) == cut(text, piece, how));
    }
    for (const auto kind : {KubeKind::node, KubeKind::pod}) {
        const DecodeOptions options = {.kind = kind, .node_name = "n1", .origin = "fuzz"};
        check_list(options, text, piece);
        check_watch(options, text, piece);
    }
    return 0;
}
