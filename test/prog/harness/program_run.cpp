// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/program_run.h"

#include <bpf/bpf.h>

#include <linux/bpf.h>

#include <cerrno>

namespace podlane::prog {

std::string to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::pass:
            return "pass";
        case Verdict::drop:
            return "drop";
        case Verdict::redirect:
            return "redirect";
    }
    return fmt::format("verdict {}", static_cast<std::int32_t>(verdict));
}

std::ostream& operator<<(std::ostream& out, Verdict verdict) {
    return out << to_string(verdict);
}

Result<Outcome> run_program(int program_fd, const Bytes& packet, const Context& context) {
    __sk_buff in{};
    in.mark = context.mark;
    in.ifindex = context.ifindex;
    in.gso_size = context.gso_size;
    in.gso_segs = context.gso_segs;
    __sk_buff out{};
    Bytes data(packet.size() + 256);

    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = packet.data();
    options.data_size_in = static_cast<std::uint32_t>(packet.size());
    options.data_out = data.data();
    options.data_size_out = static_cast<std::uint32_t>(data.size());
    options.ctx_in = &in;
    options.ctx_size_in = sizeof(in);
    options.ctx_out = &out;
    options.ctx_size_out = sizeof(out);
    options.repeat = 1;
    if (const int error = bpf_prog_test_run_opts(program_fd, &options); error != 0) {
        return fail_errno(-error, "test-run a program over {} bytes", packet.size());
    }
    data.resize(options.data_size_out);
    return Outcome{static_cast<Verdict>(options.retval), std::move(data), out.mark};
}

}  // namespace podlane::prog
