// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/guard.h"

#include <bpf/bpf.h>

#include <linux/bpf.h>

#include <cerrno>

#include "test/prog/harness/diff.h"

namespace podlane::prog {
namespace {

// `first_buffer` 0: as much as there is room for.
Result<XdpOutcome> run_program(int program_fd, const Bytes& packet, std::size_t first_buffer) {
    xdp_md in{};
    in.data_end = static_cast<std::uint32_t>(first_buffer);
    Bytes data(packet.size() + 256);

    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = packet.data();
    options.data_size_in = static_cast<std::uint32_t>(packet.size());
    options.data_out = data.data();
    options.data_size_out = static_cast<std::uint32_t>(data.size());
    if (first_buffer != 0) {
        options.ctx_in = &in;
        options.ctx_size_in = sizeof(in);
    }
    options.repeat = 1;
    if (const int error = bpf_prog_test_run_opts(program_fd, &options); error != 0) {
        return fail_errno(-error, "test-run the guard over {} bytes", packet.size());
    }
    data.resize(options.data_size_out);
    return XdpOutcome{static_cast<XdpVerdict>(options.retval), std::move(data)};
}

}  // namespace

std::string to_string(XdpVerdict verdict) {
    switch (verdict) {
        case XdpVerdict::drop:
            return "drop";
        case XdpVerdict::pass:
            return "pass";
    }
    return fmt::format("XDP verdict {}", static_cast<std::uint32_t>(verdict));
}

Guard::Guard(Node& node, XdpBuffers buffers)
    : node_(node), buffers_(buffers), program_(must(GuardProgram::load(node.pins(), node.config(), buffers))) {}

XdpOutcome Guard::run(const Bytes& packet) const {
    return must(run_program(program_.fd(), packet, 0));
}

std::optional<XdpOutcome> Guard::run_split(const Bytes& packet, std::size_t first_buffer) const {
    auto outcome = run_program(program_.fd(), packet, first_buffer);
    if (!outcome && outcome.error().code == EINVAL) {
        return std::nullopt;
    }
    return must(std::move(outcome));
}

testing::AssertionResult Guard::comes_to(const Bytes& packet, XdpVerdict verdict, const Counted& counted) const {
    const XdpOutcome actual = run(packet);
    const Counted actually_counted = node_.counted();
    if (actual.verdict != verdict) {
        return testing::AssertionFailure()
               << "the guard (" << to_string(buffers_) << "): " << to_string(actual.verdict) << ", expected "
               << to_string(verdict) << "\n  counted " << testing::PrintToString(actually_counted);
    }
    if (actually_counted != counted) {
        return testing::AssertionFailure()
               << "the guard (" << to_string(buffers_) << ") counted " << testing::PrintToString(actually_counted)
               << ", expected " << testing::PrintToString(counted);
    }
    return same_packet(packet, actual.packet);
}

}  // namespace podlane::prog
