// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/diff.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace podlane::prog {
namespace {

using Layout = std::initializer_list<std::pair<std::string_view, std::size_t>>;

constexpr std::uint16_t vxlan_port = 8472;

// Cuts a frame into fields; whatever does not fit becomes the rest.
class Dissector {
public:
    explicit Dissector(const Bytes& frame) : frame_(frame) {}

    std::vector<Field> run() {
        ethernet();
        take("payload", frame_.size() - offset_);
        return std::move(fields_);
    }

private:
    void take(std::string_view name, std::size_t length) {
        length = std::min(length, frame_.size() - offset_);
        if (length > 0) {
            fields_.push_back({prefix_ + std::string(name), offset_, length});
            offset_ += length;
        }
    }
    void take_all(Layout layout) {
        for (const auto& [name, length] : layout) {
            take(name, length);
        }
    }
    [[nodiscard]] bool has(std::size_t length) const { return frame_.size() - offset_ >= length; }

    void ethernet() {
        const bool complete = has(14);
        const std::size_t start = offset_;
        take_all({{"eth destination", 6}, {"eth source", 6}, {"eth type", 2}});
        if (complete && read16(frame_, start + 12) == ethertype_ipv4) {
            ipv4();
        } else if (complete && read16(frame_, start + 12) == ethertype_arp) {
            take_all({{"arp hardware type", 2},
                      {"arp protocol type", 2},
                      {"arp lengths", 2},
                      {"arp operation", 2},
                      {"arp sender mac", 6},
                      {"arp sender ip", 4},
                      {"arp target mac", 6},
                      {"arp target ip", 4}});
        }
    }

    void ipv4() {
        const std::size_t start = offset_;
        const bool complete = has(20);
        take_all({{"ip version, ihl", 1},
                  {"ip tos", 1},
                  {"ip total length", 2},
                  {"ip id", 2},
                  {"ip fragment", 2},
                  {"ip ttl", 1},
                  {"ip protocol", 1},
                  {"ip checksum", 2},
                  {"ip source", 4},
                  {"ip destination", 4}});
        if (!complete) {
            return;
        }
        const std::size_t words = frame_[start] & 0xfU;
        take("ip options", words > 5 ? (words - 5) * 4 : 0);
        transport(frame_[start + 9]);
    }

    void transport(std::uint8_t protocol) {
        const std::size_t start = offset_;
        if (protocol == 17) {
            const bool tunnel = has(8) && read16(frame_, start + 2) == vxlan_port;
            take_all({{"udp source", 2}, {"udp destination", 2}, {"udp length", 2}, {"udp checksum", 2}});
            if (tunnel) {
                take_all({{"vxlan flags", 4}, {"vxlan vni", 3}, {"vxlan reserved", 1}});
                prefix_ = "inner ";
                ethernet();
            }
        } else if (protocol == 6) {
            take_all({{"tcp source", 2},
                      {"tcp destination", 2},
                      {"tcp sequence", 4},
                      {"tcp acknowledgement", 4},
                      {"tcp flags", 2},
                      {"tcp window", 2},
                      {"tcp checksum", 2},
                      {"tcp urgent", 2}});
        } else if (protocol == 1) {
            take_all({{"icmp type", 1}, {"icmp code", 1}, {"icmp checksum", 2}, {"icmp id", 2}, {"icmp sequence", 2}});
        }
    }

    const Bytes& frame_;
    std::vector<Field> fields_;
    std::size_t offset_ = 0;
    std::string prefix_;
};

std::string hex(const Bytes& data, const Field& field) {
    if (field.offset >= data.size()) {
        return "(nothing)";
    }
    constexpr std::size_t shown = 32;
    const auto begin = data.begin() + static_cast<std::ptrdiff_t>(field.offset);
    const auto length = std::min({field.length, shown, data.size() - field.offset});
    return fmt::format("{:02x}{}", fmt::join(begin, begin + static_cast<std::ptrdiff_t>(length), " "),
                       field.length > shown ? " ..." : "");
}

bool differs(const Bytes& expected, const Bytes& actual, const Field& field) {
    for (std::size_t i = field.offset; i < field.offset + field.length; ++i) {
        if (i >= actual.size() || actual[i] != expected[i]) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::vector<Field> dissect(const Bytes& frame) {
    return Dissector(frame).run();
}

testing::AssertionResult same_packet(const Bytes& expected, const Bytes& actual) {
    if (expected == actual) {
        return testing::AssertionSuccess();
    }
    auto failure = testing::AssertionFailure() << "the packets differ";
    if (expected.size() != actual.size()) {
        failure << fmt::format("\n  length: expected {}, actual {}", expected.size(), actual.size());
    }
    for (const Field& field : dissect(expected)) {
        if (differs(expected, actual, field)) {
            failure << fmt::format("\n  {} (offset {}): expected {}, actual {}", field.name, field.offset,
                                   hex(expected, field), hex(actual, field));
        }
    }
    return failure;
}

}  // namespace podlane::prog
