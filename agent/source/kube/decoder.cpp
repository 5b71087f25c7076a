// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/decoder.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "agent/text/printable.h"

namespace podlane {
namespace {

constexpr std::string_view text_name = "response";  // in messages of the JSON reader

ReadOptions read_options(const DecodeOptions& options) {
    return {.name = options.origin,
            .node_name = options.node_name,
            .format = TextFormat::json,
            .kind = std::string(kind_name(options.kind))};
}

// Where in a response an object stood means nothing to anybody, and would make a heartbeat look like a change.
void set_origin(ReadObjects& objects, const std::string& origin) {
    for (auto& node : objects.nodes) {
        node.origin = origin;
    }
    for (auto& pod : objects.pods) {
        pod.origin = origin;
    }
    for (auto& warning : objects.warnings) {
        warning.origin = origin;
    }
}

Result<void> parse(std::string_view text, DocumentSink& sink) {
    TextInput input(text);
    return read_json(input, text_name, sink);
}

std::optional<WatchEvent::Type> event_type(std::string_view text) {
    constexpr auto types = std::to_array<std::pair<std::string_view, WatchEvent::Type>>({
        {"ADDED", WatchEvent::Type::added},
        {"MODIFIED", WatchEvent::Type::modified},
        {"DELETED", WatchEvent::Type::deleted},
        {"BOOKMARK", WatchEvent::Type::bookmark},
        {"ERROR", WatchEvent::Type::error},
    });
    const auto* const found = std::ranges::find(types, text, [](const auto& entry) { return entry.first; });
    return found == types.end() ? std::nullopt : std::optional(found->second);
}

// {"type": ..., "object": ...}: hands the object's events on as if it were a document.
class EventReader final : public DocumentSink {
public:
    EventReader(DocumentSink& head, DocumentSink& object) : sinks_{&head, &object} {}

    void begin_document(unsigned /*line*/) override {}
    void end_document() override {}
    void begin_map(unsigned line) override {
        begin(line, [&](DocumentSink& sink) { sink.begin_map(line); });
    }
    void end_map() override {
        end([](DocumentSink& sink) { sink.end_map(); });
    }
    void begin_list(unsigned line) override {
        begin(line, [&](DocumentSink& sink) { sink.begin_list(line); });
    }
    void end_list() override {
        end([](DocumentSink& sink) { sink.end_list(); });
    }
    void key(std::string_view text, unsigned line) override {
        if (depth_ == 1) {
            member_ = text;
        }
        tell([&](DocumentSink& sink) { sink.key(text, line); });
    }
    void scalar(ScalarKind kind, std::string_view text, unsigned line) override {
        if (depth_ == 1 && member_ == "type") {
            type_ = text;
        }
        tell([&](DocumentSink& sink) { sink.scalar(kind, text, line); });
    }

    [[nodiscard]] const std::string& type() const { return type_; }

private:
    // Deeper than the event itself, inside its object.
    template <typename Event>
    void tell(const Event& event) {
        if (depth_ > 1 && member_ == "object") {
            std::ranges::for_each(sinks_, [&](DocumentSink* sink) { event(*sink); });
        }
    }
    template <typename Event>
    void begin(unsigned line, const Event& event) {
        if (++depth_ == 2) {
            tell([&](DocumentSink& sink) { sink.begin_document(line); });
        }
        tell(event);
    }
    template <typename Event>
    void end(const Event& event) {
        tell(event);
        if (depth_ == 2) {
            tell([](DocumentSink& sink) { sink.end_document(); });
        }
        --depth_;
    }

    std::array<DocumentSink*, 2> sinks_;
    unsigned depth_ = 0;
    std::string member_;
    std::string type_;
};

}  // namespace

std::string_view kind_name(KubeKind kind) {
    return kind == KubeKind::node ? "Node" : "Pod";
}

ListDecoder::ListDecoder(DecodeOptions options)
    : options_(std::move(options)), read_options_(read_options(options_)), extractor_(read_options_) {}

Result<void> ListDecoder::feed(std::string_view bytes) {
    return splitter_.feed(bytes, [this](std::string_view object) {
        has_objects_ = true;
        return parse(object, extractor_);
    });
}

Result<ListPage> ListDecoder::finish() {
    if (!splitter_.complete() || splitter_.envelope().empty()) {
        return fail("the list was cut off");
    }
    auto head = read_object_head(splitter_.envelope());
    if (!head) {
        return std::unexpected(head.error());
    }
    using Items = ObjectHead::Items;
    // A list of items under a key that is spelled with escapes is one that the splitter does not see.
    const bool is_list = head->kind == fmt::format("{}List", kind_name(options_.kind)) &&
                         head->items != Items::absent && splitter_.saw_items() == (head->items == Items::list);
    if (!is_list || head->resource_version.empty()) {
        return fail("the answer is no {}List with items and a resourceVersion, but kind \"{}\"",
                    kind_name(options_.kind), printable(head->kind));
    }
    ReadObjects objects;
    if (has_objects_) {
        auto read = extractor_.finish();
        if (!read) {
            return std::unexpected(read.error());
        }
        objects = std::move(*read);
    }
    set_origin(objects, options_.origin);
    return ListPage{.objects = std::move(objects),
                    .resource_version = std::move(head->resource_version),
                    .continue_token = std::move(head->continue_token)};
}

Result<void> WatchDecoder::feed(std::string_view bytes, const TakeEvent& take) {
    return splitter_.feed(bytes, [&](std::string_view document) { return take_document(document, take); });
}

Result<void> WatchDecoder::take_document(std::string_view text, const TakeEvent& take) const {
    WatchEvent event;
    const ReadOptions reading = read_options(options_);
    ObjectHeadReader head(event.head);
    ObjectExtractor extractor(reading);
    EventReader reader(head, extractor);
    if (auto parsed = parse(text, reader); !parsed) {
        return parsed;
    }
    const auto type = event_type(reader.type());
    if (!type) {
        return reader.type().empty() ? fail("the answer is no watch event: it has no type") : Result<void>();
    }
    event.type = *type;
    if (event.type == WatchEvent::Type::error) {
        return take(std::move(event));
    }
    if (event.head.kind != kind_name(options_.kind) || event.head.resource_version.empty()) {
        return fail("{} event without a {} and its resourceVersion", printable(reader.type()),
                    kind_name(options_.kind));
    }
    if (event.type != WatchEvent::Type::bookmark) {
        auto objects = extractor.finish();
        if (!objects) {
            return std::unexpected(objects.error());
        }
        event.objects = std::move(*objects);
        set_origin(event.objects, options_.origin);
    }
    return take(std::move(event));
}

Result<ObjectHead> read_object_head(std::string_view text) {
    ObjectHead head;
    ObjectHeadReader reader(head);
    if (auto parsed = parse(text, reader); !parsed) {
        return std::unexpected(parsed.error());
    }
    return head;
}

}  // namespace podlane
