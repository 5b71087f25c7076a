// SPDX-License-Identifier: Apache-2.0
#include <yaml.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "agent/text/document.h"
#include "agent/text/printable.h"
#include "agent/text/yaml_anchors.h"
#include "agent/text/yaml_feed.h"

namespace podlane {
namespace {

bool one_of(std::string_view text, const std::array<std::string_view, 3>& spellings) {
    return text == spellings[0] || text == spellings[1] || text == spellings[2];
}

bool is_number(std::string_view text) {
    if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
        text.remove_prefix(1);
    }
    // from_chars would take "inf" and "nan", which YAML writes ".inf" and ".nan".
    const bool plausible = !text.empty() && ((text.front() >= '0' && text.front() <= '9') || text.front() == '.');
    if (!plausible) {
        return false;
    }
    if (text.starts_with("0x") || text.starts_with("0o")) {
        const auto digits = text.substr(2);
        unsigned long value = 0;
        const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value, text[1] == 'x' ? 16 : 8);
        return error == std::errc{} && end == digits.end();
    }
    if (one_of(text, {".inf", ".Inf", ".INF"}) || one_of(text, {".nan", ".NaN", ".NAN"})) {
        return true;
    }
    double value = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
    return error != std::errc::invalid_argument && end == text.end();
}

// YAML's core schema for plain scalars.
ScalarKind kind_of_plain(std::string_view text) {
    if (text.empty() || text == "~" || one_of(text, {"null", "Null", "NULL"})) {
        return ScalarKind::null;
    }
    if (one_of(text, {"true", "True", "TRUE"}) || one_of(text, {"false", "False", "FALSE"})) {
        return ScalarKind::boolean;
    }
    return is_number(text) ? ScalarKind::number : ScalarKind::text;
}

std::string_view view(const yaml_char_t* text) {
    return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text));
}

// Sends events to the sink; tells keys from values, which libyaml does not.
class KeyTracker {
public:
    explicit KeyTracker(DocumentSink& sink) : sink_(sink) {}

    // Returns what is wrong with the event at this place, if anything.
    [[nodiscard]] std::optional<std::string> put(const YamlEvent& event) {
        const bool ends = event.type == YamlEvent::Type::end_map || event.type == YamlEvent::Type::end_list;
        if (!ends && expects_key()) {
            return put_key(event);
        }
        if (!ends && !open_.empty() && open_.back() == Place::value) {
            open_.back() = Place::key;
        }
        put_value(event);
        return std::nullopt;
    }

private:
    enum class Place { key, value, list };

    [[nodiscard]] bool expects_key() const { return !open_.empty() && open_.back() == Place::key; }

    std::optional<std::string> put_key(const YamlEvent& event) {
        if (event.type != YamlEvent::Type::scalar) {
            return "a key must be plain text";
        }
        if (event.plain && event.text == "<<") {
            return "the merge key << is not supported: write the members out";
        }
        sink_.key(event.text, event.line);
        open_.back() = Place::value;
        return std::nullopt;
    }

    void put_value(const YamlEvent& event) {
        switch (event.type) {
            case YamlEvent::Type::begin_map:
                open_.push_back(Place::key);
                return sink_.begin_map(event.line);
            case YamlEvent::Type::begin_list:
                open_.push_back(Place::list);
                return sink_.begin_list(event.line);
            case YamlEvent::Type::end_map:
                open_.pop_back();
                return sink_.end_map();
            case YamlEvent::Type::end_list:
                open_.pop_back();
                return sink_.end_list();
            case YamlEvent::Type::scalar:
                return sink_.scalar(event.kind, event.text, event.line);
        }
    }

    DocumentSink& sink_;
    std::vector<Place> open_;
};

class YamlReader {
public:
    YamlReader(TextInput& input, std::string_view name, DocumentSink& sink)
        : feed_(input), name_(name), sink_(sink), keys_(sink) {
        initialized_ = yaml_parser_initialize(&parser_) == 1;
    }
    YamlReader(const YamlReader&) = delete;
    YamlReader& operator=(const YamlReader&) = delete;
    ~YamlReader() {
        if (initialized_) {
            yaml_parser_delete(&parser_);
        }
    }

    Result<void> run() {
        if (!initialized_) {
            return fail_errno(ENOMEM, "read {}", name_);
        }
        yaml_parser_set_input(&parser_, &YamlFeed::pull, &feed_);
        for (;;) {
            yaml_event_t event;
            if (yaml_parser_parse(&parser_, &event) != 1) {
                return parser_failure();
            }
            const bool last = event.type == YAML_STREAM_END_EVENT;
            const auto problem = take(event);
            const auto line = event.start_mark.line + 1;
            yaml_event_delete(&event);
            if (problem) {
                return fail("{}:{}: not usable YAML: {}", name_, line, printable(*problem));
            }
            if (last) {
                return {};
            }
        }
    }

private:
    std::unexpected<Error> parser_failure() {
        if (feed_.input().error() != 0) {
            return fail_errno(feed_.input().error(), "read {}", name_);
        }
        if (feed_.too_deep()) {
            return fail("{}:{}: not usable YAML: more than {} brackets are open", name_, parser_.mark.line + 1,
                        most_yaml_brackets);
        }
        // An error of the encoding has no mark, but an offset.
        const auto line =
            parser_.error == YAML_READER_ERROR ? feed_.line_of(parser_.problem_offset) : parser_.problem_mark.line + 1;
        std::string reason = parser_.problem == nullptr ? "out of memory" : parser_.problem;
        if (parser_.context != nullptr) {
            reason = fmt::format("{} {}", parser_.context, reason);
        }
        return fail("{}:{}: not valid YAML: {}", name_, line, printable(reason));
    }

    std::optional<std::string> take(const yaml_event_t& event) {
        const auto line = static_cast<unsigned>(event.start_mark.line) + 1;
        switch (event.type) {
            case YAML_DOCUMENT_START_EVENT:
                anchors_.clear();
                sink_.begin_document(line);
                return std::nullopt;
            case YAML_DOCUMENT_END_EVENT:
                sink_.end_document();
                return std::nullopt;
            case YAML_MAPPING_START_EVENT:
                return node(event.data.mapping_start.anchor,
                            {.type = YamlEvent::Type::begin_map, .line = line, .text = {}});
            case YAML_MAPPING_END_EVENT:
                return node(nullptr, {.type = YamlEvent::Type::end_map, .line = line, .text = {}});
            case YAML_SEQUENCE_START_EVENT:
                return node(event.data.sequence_start.anchor,
                            {.type = YamlEvent::Type::begin_list, .line = line, .text = {}});
            case YAML_SEQUENCE_END_EVENT:
                return node(nullptr, {.type = YamlEvent::Type::end_list, .line = line, .text = {}});
            case YAML_SCALAR_EVENT:
                return node(event.data.scalar.anchor, scalar_event(event, line));
            case YAML_ALIAS_EVENT:
                return replay(view(event.data.alias.anchor));
            default:
                return std::nullopt;
        }
    }

    static YamlEvent scalar_event(const yaml_event_t& event, unsigned line) {
        const auto& scalar = event.data.scalar;
        const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
        // `!!str 5` and `! 5` are text; so is whatever is quoted.
        const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.tag == nullptr;
        return {.type = YamlEvent::Type::scalar,
                .kind = plain ? kind_of_plain(text) : ScalarKind::text,
                .plain = plain,
                .line = line,
                .text = std::string(text)};
    }

    std::optional<std::string> node(const yaml_char_t* anchor, const YamlEvent& event) {
        if (anchor != nullptr) {
            anchors_.begin(view(anchor));
        }
        if (!anchors_.record(event)) {
            return "too much text under anchors";
        }
        return keys_.put(event);
    }

    std::optional<std::string> replay(std::string_view name) {
        const auto* events = anchors_.find(name);
        if (events == nullptr) {
            return fmt::format("*{} has no anchor before it", name);
        }
        replayed_ += events->size();
        if (replayed_ > most_yaml_alias_events) {
            return "aliases expand to too much";
        }
        // A copy: an anchor around the alias records what is told again, which may move the map's vectors.
        for (const YamlEvent& event : std::vector<YamlEvent>(*events)) {
            if (auto problem = node(nullptr, event)) {
                return problem;
            }
        }
        return std::nullopt;
    }

    YamlFeed feed_;
    std::string_view name_;
    DocumentSink& sink_;
    KeyTracker keys_;
    YamlAnchors anchors_;
    std::size_t replayed_ = 0;
    bool initialized_ = false;
    yaml_parser_t parser_{};
};

}  // namespace

Result<void> read_yaml(TextInput& input, std::string_view name, DocumentSink& sink) {
    return YamlReader(input, name, sink).run();
}

}  // namespace podlane
