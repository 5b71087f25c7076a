// SPDX-License-Identifier: Apache-2.0
#include "agent/node/nat_sweeper.h"

#include <bpf/bpf.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "maps/base/monotonic.h"
#include "maps/nat_config.h"
#include "maps/schema/nat_sweep.h"

namespace podlane {
namespace {

constexpr std::uint32_t page_entries = 16384;
constexpr std::size_t keys_of_one_run = NAT_SWEEP_MAX;

static_assert(sizeof(nat_sweep_order) == 8, "no implicit padding");

}  // namespace

NatSweeper::NatSweeper(ReadOnlyMap<spec::nat_by_flow> table, const nat_config& config)
    : table_(std::move(table)),
      pages_(table_.fd(), shape_of<spec::nat_by_flow>(), page_entries),
      shortest_timeout_(ns_per_second * *std::ranges::min_element(config.timeouts)),
      walk_(config) {}

bool NatSweeper::has_lost_its_address(const nat_entry& entry) const {
    return (entry.flags & NAT_FLAG_HOST) == 0 && !addresses_.empty() &&
           !std::ranges::binary_search(addresses_, entry.nat_address);
}

bool NatSweeper::is_to_begin_anew(const nat_entry& entry) const {
    return (entry.flags & NAT_FLAG_HOST) == 0 && entry.remote_seen == 0 && revised_.contains(entry.nat_address);
}

NatSweeper::Keys NatSweeper::look_at(const RawEntries& page) {
    Keys keys;
    const auto now = monotonic_ns();
    for (std::size_t i = 0; i < page.count; ++i) {
        flow_key flow{};
        nat_entry entry{};
        std::memcpy(&flow, page.key(i).data(), sizeof(flow));
        std::memcpy(&entry, page.value(i).data(), sizeof(entry));
        if (nat_expiry(flow, entry) > now) {
            walk_.add(flow, entry);
        }
        // Which of these are over the program knows; younger ones cannot be.
        if (has_lost_its_address(entry)) {
            keys[{entry.nat_address, false}].push_back(flow);
        } else if (is_to_begin_anew(entry)) {
            keys[{entry.nat_address, true}].push_back(flow);
        } else if (now - static_cast<std::int64_t>(entry.last_seen) >= shortest_timeout_) {
            keys[{0, false}].push_back(flow);
        }
    }
    return keys;
}

void NatSweeper::end_walk() {
    last_ = walk_.use();
    walk_.reset();
    for (auto& [address, walks] : revised_) {
        --walks;
    }
    std::erase_if(revised_, [](const auto& address) { return address.second == 0; });
}

Result<std::size_t> NatSweeper::run(int program, std::span<const flow_key> keys, const Order& order) {
    const nat_sweep_order head{.address = order.address, .unanswered = order.unanswered ? __u8{1} : __u8{0}, .pad = {}};
    std::array<std::byte, ETH_HLEN + keys_of_one_run * sizeof(flow_key)> packet{};
    std::memcpy(packet.data(), &head, sizeof(head));
    std::memcpy(&packet[ETH_HLEN], keys.data(), keys.size_bytes());
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = packet.data();
    options.data_size_in = static_cast<__u32>(ETH_HLEN + keys.size_bytes());
    options.repeat = 1;
    if (const int error = bpf_prog_test_run_opts(program, &options); error != 0) {
        return fail_errno(-error, "run nat_sweep over {} translations", keys.size());
    }
    return options.retval;
}

Result<std::size_t> NatSweeper::run_over_all(int program, std::span<const flow_key> keys, const Order& order) {
    std::size_t removed = 0;
    for (std::size_t done = 0; done < keys.size(); done += keys_of_one_run) {
        const auto part = keys.subspan(done, std::min(keys_of_one_run, keys.size() - done));
        const auto swept = run(program, part, order);
        if (!swept) {
            return swept;
        }
        removed += *swept;
    }
    return removed;
}

Result<std::size_t> NatSweeper::sweep(int sweep_program) {
    const auto page = pages_.next();
    if (!page) {
        walk_.reset();  // the next one begins anew
        return std::unexpected(page.error());
    }
    const auto keys = look_at(*page);
    if (pages_.at_end()) {
        end_walk();
    }
    std::size_t removed = 0;
    for (const auto& [order, flows] : keys) {
        const auto swept = run_over_all(sweep_program, flows, order);
        if (!swept) {
            return swept;
        }
        removed += *swept;
    }
    return removed;
}

Result<std::size_t> NatSweeper::sweep_all(int sweep_program) {
    std::size_t removed = 0;
    do {
        const auto swept = sweep(sweep_program);
        if (!swept) {
            return swept;
        }
        removed += *swept;
    } while (!pages_.at_end());
    return removed;
}

}  // namespace podlane
