// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "test/prog/harness/frame.h"

namespace podlane::prog {

// A header field of a frame, or what is left over.
struct Field {
    std::string name;  // "inner ip ttl"
    std::size_t offset;
    std::size_t length;
};

// The fields of a frame, one behind the other, from its first byte to its last; VXLAN is looked into.
[[nodiscard]] std::vector<Field> dissect(const Bytes& frame);

// Byte for byte. A failure names the fields that differ, with what was expected and what came.
[[nodiscard]] testing::AssertionResult same_packet(const Bytes& expected, const Bytes& actual);

}  // namespace podlane::prog
