// SPDX-License-Identifier: Apache-2.0
#include "agent/source/object_reader.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "agent/source/object_extractor.h"

namespace podlane {
namespace {

bool looks_like_json(TextInput& input) {
    constexpr std::string_view skipped = " \t\r\n\xef\xbb\xbf";  // white space, byte order mark
    while (input.more() && skipped.contains(input.peek())) {
        input.skip();
    }
    return input.more() && input.peek() == '{';
}

using Reader = Result<void> (*)(TextInput&, std::string_view, DocumentSink&);

Result<ReadObjects> read_with(Reader reader, TextInput& input, const ReadOptions& options) {
    ObjectExtractor extractor(options);
    if (auto read = reader(input, options.name, extractor); !read) {
        return std::unexpected(read.error());
    }
    return extractor.finish();
}

// `open` gives the text from its beginning: what was taken for JSON may turn out to be YAML's flow style.
template <typename Open>
Result<ReadObjects> read(const Open& open, const ReadOptions& options) {
    if (options.format == TextFormat::json) {
        return read_with(&read_json, *open(), options);
    }
    if (options.format == TextFormat::detect && looks_like_json(*open())) {
        auto json = read_with(&read_json, *open(), options);
        if (json) {
            return json;
        }
        auto yaml = read_with(&read_yaml, *open(), options);
        return yaml ? std::move(yaml) : std::move(json);
    }
    return read_with(&read_yaml, *open(), options);
}

}  // namespace

Result<ReadObjects> read_objects(std::string_view text, const ReadOptions& options) {
    return read([&] { return std::make_unique<TextInput>(text); }, options);
}

Result<ReadObjects> read_objects_from_file(int fd, const ReadOptions& options) {
    const auto open = [&] {
        // A file that cannot seek would fail to read as well.
        static_cast<void>(::lseek(fd, 0, SEEK_SET));
        return std::make_unique<TextInput>(fd);
    };
    return read(open, options);
}

}  // namespace podlane
