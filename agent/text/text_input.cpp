// SPDX-License-Identifier: Apache-2.0
#include "agent/text/text_input.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace podlane {
namespace {

constexpr std::size_t block_size = 128UL * 1024;

}  // namespace

TextInput::TextInput(std::string_view text)
    : at_(text.data()), end_(text.data() + text.size()), counted_(text.data()) {}

TextInput::TextInput(int fd) : fd_(fd) {}

std::size_t TextInput::read(std::span<char> buffer) {
    if (!more()) {
        return 0;
    }
    const auto size = std::min(buffer.size(), static_cast<std::size_t>(end_ - at_));
    std::copy_n(at_, size, buffer.data());
    at_ += size;
    return size;
}

unsigned TextInput::line() {
    line_ += static_cast<unsigned>(std::count(counted_, at_, '\n'));
    counted_ = at_;
    return line_;
}

bool TextInput::refill() {
    if (fd_ < 0 || error_ != 0) {
        return false;
    }
    static_cast<void>(line());
    block_.resize(block_size);
    ssize_t size = 0;
    do {
        size = ::read(fd_, block_.data(), block_.size());
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        error_ = errno;
        size = 0;
    }
    at_ = block_.data();
    end_ = at_ + size;
    counted_ = at_;
    return size > 0;
}

}  // namespace podlane
