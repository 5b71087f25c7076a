// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace podlane {

// Metrics as a text that Prometheus reads (exposition format 0.0.4).
class Exposition {
public:
    static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

    enum class Type { counter, gauge, histogram };
    using Label = std::pair<std::string_view, std::string_view>;
    using Labels = std::initializer_list<Label>;

    // The samples that follow are of this family. `help` is one line.
    void family(std::string_view name, Type type, std::string_view help);
    // Labels' values may hold any byte.
    void sample(Labels labels, double value);
    void sample(double value) { sample({}, value); }
    // Of a histogram: `suffix` is "_bucket", "_sum" or "_count".
    void part(std::string_view suffix, Labels labels, double value);

    [[nodiscard]] const std::string& text() const { return text_; }

private:
    void value(double value);

    std::string name_;
    std::string text_;
};

}  // namespace podlane
