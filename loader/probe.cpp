// SPDX-License-Identifier: Apache-2.0
#include "loader/probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>

#include "loader/clsact.h"
#include "loader/libbpf_messages.h"
#include "loader/probe_memory.h"
#include "loader/scratch_network.h"
#include "loader/skeleton.h"
#include "maps/base/fd.h"
#include "probe_encapsulation.skel.h"

namespace podlane {
namespace {

// The loopback device exists in every network namespace, with this index.
constexpr int loopback_ifindex = 1;

// UDP over IPv4 over Ethernet, 18 bytes of payload, 127.0.0.1 to 127.0.0.1; nobody looks at checksums.
// clang-format off
constexpr std::array<unsigned char, 60> small_packet = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0,
    0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1,
    0, 9, 0, 9, 0, 26,
};
// clang-format on

using ProbeProgram = SkeletonPointer<probe_encapsulation>;

bool has_bpf_fs() {
    std::ifstream file("/proc/filesystems");  // of each line the last word is the name
    for (std::string word; file >> word;) {
        if (word == "bpf") {
            return true;
        }
    }
    return false;
}

Result<ProbeProgram> load_program() {
    const LibbpfMessages quiet;
    ProbeProgram program(probe_encapsulation::open());
    if (!program) {
        return fail_errno(errno, "open a BPF object");
    }
    const int error = probe_encapsulation::load(program.get());
    if (error == -EPERM) {
        return std::unexpected(no_privileges());
    }
    if (error != 0 && libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) == 0) {
        return std::unexpected(missing(Feature::sch_cls));
    }
    if (error != 0) {
        return fail_errno(-error, "load a first BPF program");
    }
    return program;
}

bool has_helper(bpf_func_id helper) {
    return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, helper, nullptr) == 1;
}

bool has_tcx() {
    LIBBPF_OPTS(bpf_prog_query_opts, options);
    return bpf_prog_query_opts(loopback_ifindex, BPF_TCX_INGRESS, &options) == 0;
}

// A program that passes everything, for packets in several buffers.
bool takes_xdp_fragments() {
    constexpr std::array<bpf_insn, 2> pass = {{
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    const LibbpfMessages quiet;
    LIBBPF_OPTS(bpf_prog_load_opts, options);
    options.prog_flags = BPF_F_XDP_HAS_FRAGS;
    const Fd program(
        bpf_prog_load(BPF_PROG_TYPE_XDP, "probe_fragments", "Dual BSD/GPL", pass.data(), pass.size(), &options));
    return program.valid();
}

// Whatever keeps the program from running keeps us from relying on it.
bool makes_outer_room(const ProbeProgram& program) {
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = small_packet.data();
    options.data_size_in = small_packet.size();
    options.repeat = 1;
    return bpf_prog_test_run_opts(bpf_program__fd(program->progs.probe_encapsulation), &options) == 0 &&
           options.retval == 1;
}

// Qdisc and classifier are modules, which the kernel loads when they are asked for: tried where it leaves no trace.
// Who may not make a namespace finds out on the first device.
Result<void> require_clsact(const ProbeProgram& program) {
    const auto scratch = ScratchNetwork::enter();
    if (!scratch) {
        return {};
    }
    const int program_fd = bpf_program__fd(program->progs.probe_encapsulation);
    const auto attached = clsact::attach(loopback_ifindex, clsact::Direction::ingress, program_fd);
    if (attached) {
        return {};
    }
    const int code = attached.error().code;
    const bool unknown = code == ENOENT || code == EOPNOTSUPP || code == EINVAL;
    return std::unexpected(unknown ? missing(Feature::clsact) : attached.error());
}

Result<AttachMethod> probe_attach(const ProbeProgram& program, const FeatureSet& without) {
    if (!without.contains(Feature::tcx) && has_tcx()) {
        return AttachMethod::tcx;
    }
    if (without.contains(Feature::clsact)) {
        return std::unexpected(missing(Feature::clsact));
    }
    if (auto there = require_clsact(program); !there) {
        return std::unexpected(there.error());
    }
    return AttachMethod::clsact;
}

}  // namespace

std::string_view to_string(AttachMethod method) {
    return method == AttachMethod::tcx ? "tcx" : "clsact";
}

std::string_view to_string(::encapsulation encapsulation) {
    return encapsulation == ENCAPSULATION_OWN_HEADERS ? "own headers" : "tunnel device";
}

std::string_view to_string(MemoryAccounting memory) {
    return memory == MemoryAccounting::cgroup ? "cgroup" : "rlimit";
}

std::string_view to_string(XdpBuffers buffers) {
    return buffers == XdpBuffers::several ? "several buffers" : "one buffer";
}

Result<KernelFeatures> probe_kernel(const FeatureSet& without) {
    // First of all: where the limit is in use nothing below could be loaded.
    const auto memory = probe_memory(without);
    if (!memory) {
        return std::unexpected(memory.error());
    }
    if (without.contains(Feature::bpf_fs) || !has_bpf_fs()) {
        return std::unexpected(missing(Feature::bpf_fs));
    }
    if (without.contains(Feature::sch_cls)) {
        return std::unexpected(missing(Feature::sch_cls));
    }
    const auto program = load_program();
    if (!program) {
        return std::unexpected(program.error());
    }
    if (without.contains(Feature::redirect_peer) || !has_helper(BPF_FUNC_redirect_peer)) {
        return std::unexpected(missing(Feature::redirect_peer));
    }
    if (without.contains(Feature::redirect_neigh) || !has_helper(BPF_FUNC_redirect_neigh)) {
        return std::unexpected(missing(Feature::redirect_neigh));
    }
    const auto attach = probe_attach(*program, without);
    if (!attach) {
        return std::unexpected(attach.error());
    }
    const bool own_headers = !without.contains(Feature::own_headers) && makes_outer_room(*program);
    const bool fragments = !without.contains(Feature::xdp_fragments) && takes_xdp_fragments();
    return KernelFeatures{.attach = *attach,
                          .encapsulation = own_headers ? ENCAPSULATION_OWN_HEADERS : ENCAPSULATION_TUNNEL_DEVICE,
                          .memory = *memory,
                          .xdp = fragments ? XdpBuffers::several : XdpBuffers::one};
}

}  // namespace podlane
