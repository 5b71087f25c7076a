// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace podlane {

// Bytes of a file or of a string, in order, with the line they stand on. A file is read in blocks and never held as
// a whole (nor mapped: a file that shrinks while it is mapped kills its reader).
class TextInput {
public:
    // The text must outlive the input.
    explicit TextInput(std::string_view text);
    // Reads from the descriptor's position to the end of the file; the caller keeps `fd`.
    explicit TextInput(int fd);
    TextInput(const TextInput&) = delete;
    TextInput& operator=(const TextInput&) = delete;
    ~TextInput() = default;

    // False at the end, and after a failed read: see error().
    [[nodiscard]] bool more() { return at_ != end_ || refill(); }
    // Only after more().
    [[nodiscard]] char peek() const { return *at_; }
    void skip() { ++at_; }
    // Up to buffer.size() bytes; 0 at the end.
    [[nodiscard]] std::size_t read(std::span<char> buffer);

    // Of the next byte, from 1.
    [[nodiscard]] unsigned line();
    // errno of a read that failed, or 0.
    [[nodiscard]] int error() const { return error_; }

private:
    [[nodiscard]] bool refill();

    std::vector<char> block_;
    const char* at_ = nullptr;
    const char* end_ = nullptr;
    const char* counted_ = nullptr;  // lines up to here are in line_
    unsigned line_ = 1;
    int fd_ = -1;
    int error_ = 0;
};

}  // namespace podlane
