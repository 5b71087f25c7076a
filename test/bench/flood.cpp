// SPDX-License-Identifier: Apache-2.0
//
// Sends spoofed VXLAN packets as fast as one CPU can: what a host that is no node would send in a pod's name.
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "maps/base/address.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"
#include "test/bench/traffic_socket.h"

namespace podlane::traffic {
namespace {

// What this process has used of its CPU, the receiving side's softirqs that ran in its system calls included.
double cpu_seconds() {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// What the packets are as they reach the other end of a veth pair.
enum class Form {
    skbs,    // what a local neighbour sends
    frames,  // without an skb, as a network card's driver has them; the other end must have GRO on or an XDP program
};

struct FloodOptions {
    Form form = Form::skbs;
    std::string device;       // empty, with frames: none; they are made and thrown away
    std::string mac;          // of the node under attack
    std::string source;       // outer
    std::string destination;  // outer: the node's address
    std::string inner_source;
    std::string inner_destination;
    std::uint16_t port = 8472;
    std::uint32_t vni = 1;
    std::uint64_t count = 1'000'000;
    std::optional<int> cpu;
};

constexpr std::size_t payload_bytes = 64;
constexpr unsigned batch = 64;

class FrameWriter {
public:
    void bytes(std::span<const std::uint8_t> some) { frame_.insert(frame_.end(), some.begin(), some.end()); }
    void u8(unsigned value) { frame_.push_back(static_cast<std::uint8_t>(value)); }
    void u16(unsigned value) {
        u8(value >> 8U & 0xffU);
        u8(value & 0xffU);
    }
    void u32(std::uint32_t value) {
        u16(value >> 16U);
        u16(value & 0xffffU);
    }
    void ethernet(const MacAddress& destination, const MacAddress& source) {
        bytes(destination.bytes());
        bytes(source.bytes());
        u16(0x0800);
    }
    // With UDP behind it, whose checksum is absent. `payload`: bytes behind the UDP header.
    void udp(Ipv4Address source, Ipv4Address destination, std::uint16_t port, std::size_t payload) {
        const std::size_t start = frame_.size();
        u16(0x4500);
        u16(static_cast<unsigned>(28 + payload));
        u32(0);
        u16(64U << 8U | 17U);
        u16(0);
        u32(source.host());
        u32(destination.host());
        write_checksum(start);
        u16(50000);
        u16(port);
        u16(static_cast<unsigned>(8 + payload));
        u16(0);
    }
    void zeros(std::size_t count) { frame_.resize(frame_.size() + count); }
    [[nodiscard]] std::vector<std::uint8_t> take() { return std::move(frame_); }

private:
    void write_checksum(std::size_t start) {
        std::uint32_t sum = 0;
        for (std::size_t i = start; i < start + 20; i += 2) {
            sum += static_cast<std::uint32_t>(frame_[i] << 8U | frame_[i + 1]);
        }
        sum = (sum & 0xffffU) + (sum >> 16U);
        sum = ~((sum & 0xffffU) + (sum >> 16U));
        frame_[start + 10] = static_cast<std::uint8_t>(sum >> 8U & 0xffU);
        frame_[start + 11] = static_cast<std::uint8_t>(sum & 0xffU);
    }

    std::vector<std::uint8_t> frame_;
};

Result<std::vector<std::uint8_t>> spoofed_frame(const FloodOptions& options) {
    std::array<Ipv4Address, 4> addresses;
    const std::array texts = {&options.source, &options.destination, &options.inner_source, &options.inner_destination};
    for (std::size_t i = 0; i < texts.size(); ++i) {
        const auto parsed = Ipv4Address::parse(*texts[i]);
        if (!parsed) {
            return std::unexpected(parsed.error());
        }
        addresses[i] = *parsed;
    }
    const auto mac = MacAddress::parse(options.mac);
    if (!mac) {
        return std::unexpected(mac.error());
    }
    const MacAddress forger({2, 0, 0, 0, 0, 0x66});
    constexpr std::size_t inner_bytes = 14 + 28 + payload_bytes;
    FrameWriter frame;
    frame.ethernet(*mac, forger);
    frame.udp(addresses[0], addresses[1], options.port, 8 + inner_bytes);
    frame.u32(0x08000000);
    frame.u32(options.vni << 8U);
    frame.ethernet(*mac, forger);
    frame.udp(addresses[2], addresses[3], 53, payload_bytes);
    frame.zeros(payload_bytes);
    return frame.take();
}

Result<Fd> open_device(const std::string& device) {
    Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket.valid()) {
        return fail_errno(errno, "open a packet socket");
    }
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
    const int bypass = 1;
    if (to.sll_ifindex == 0 || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0 ||
        ::setsockopt(socket.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass)) != 0) {
        return fail_errno(errno, "send on device {}", device);
    }
    return socket;
}

// Redirects every packet to the device; throws it away where that is 0.
Result<Fd> load_redirect(std::uint32_t ifindex) {
    const auto move = [](std::uint8_t to, std::uint32_t value) {
        return bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K,
                        .dst_reg = static_cast<__u8>(to & 0xfU),
                        .src_reg = 0,
                        .off = 0,
                        .imm = static_cast<__s32>(value)};
    };
    const auto jump = [](std::uint8_t code, std::int32_t value) {
        return bpf_insn{.code = static_cast<__u8>(BPF_JMP | code), .dst_reg = 0, .src_reg = 0, .off = 0, .imm = value};
    };
    std::vector<bpf_insn> program = {move(BPF_REG_0, XDP_DROP)};
    if (ifindex != 0) {
        program = {move(BPF_REG_1, ifindex), move(BPF_REG_2, 0), jump(BPF_CALL, BPF_FUNC_redirect)};
    }
    program.push_back(jump(BPF_EXIT, 0));
    Fd fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "flood", "Dual BSD/GPL", program.data(), program.size(), nullptr));
    if (!fd.valid()) {
        return fail_errno(errno, "load an XDP program");
    }
    return fd;
}

// CPU seconds that it took.
Result<double> flood_frames(const FloodOptions& options, const std::vector<std::uint8_t>& frame) {
    const std::uint32_t ifindex = options.device.empty() ? 0 : if_nametoindex(options.device.c_str());
    if (ifindex == 0 && !options.device.empty()) {
        return fail_errno(errno, "send on device {}", options.device);
    }
    const auto program = load_redirect(ifindex);
    if (!program) {
        return std::unexpected(program.error());
    }
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<std::uint32_t>(frame.size());
    run.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    run.batch_size = batch;
    run.repeat = static_cast<int>(options.count);
    const double start = cpu_seconds();
    if (const int error = bpf_prog_test_run_opts(program->get(), &run); error != 0) {
        return fail_errno(-error, "send frames (needs Linux 5.18)");
    }
    return cpu_seconds() - start;
}

// CPU seconds that it took.
Result<double> flood_skbs(const FloodOptions& options, std::vector<std::uint8_t>& frame) {
    const auto socket = open_device(options.device);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    iovec data{.iov_base = frame.data(), .iov_len = frame.size()};
    std::array<mmsghdr, batch> messages{};
    for (auto& message : messages) {
        message.msg_hdr.msg_iov = &data;
        message.msg_hdr.msg_iovlen = 1;
    }
    const double start = cpu_seconds();
    for (std::uint64_t left = options.count; left > 0;) {
        const auto some = static_cast<unsigned>(std::min<std::uint64_t>(left, batch));
        const int sent = ::sendmmsg(socket->get(), messages.data(), some, 0);
        if (sent < 0 && errno != ENOBUFS && errno != EAGAIN) {
            return fail_errno(errno, "send");
        }
        left -= sent > 0 ? static_cast<std::uint64_t>(sent) : 0;
    }
    return cpu_seconds() - start;
}

Result<void> run(const FloodOptions& options) {
    if (options.cpu) {
        if (auto pinned = pin_to_cpu(*options.cpu); !pinned) {
            return pinned;
        }
    }
    auto frame = spoofed_frame(options);
    if (!frame) {
        return std::unexpected(frame.error());
    }
    const auto seconds = options.form == Form::frames ? flood_frames(options, *frame) : flood_skbs(options, *frame);
    if (!seconds) {
        return std::unexpected(seconds.error());
    }
    const nlohmann::ordered_json json = {{"sent", options.count}, {"bytes", frame->size()}, {"cpuSeconds", *seconds}};
    fmt::print("{}\n", json.dump());
    return {};
}

}  // namespace
}  // namespace podlane::traffic

int main(int argc, char** argv) {
    podlane::traffic::FloodOptions options;
    CLI::App app{"Floods a node with spoofed VXLAN packets and prints the CPU time that it took, as JSON."};
    app.add_option("--device", options.device, "where to send; without it frames are thrown away");
    app.add_flag_callback(
        "--frames", [&options] { options.form = podlane::traffic::Form::frames; },
        "frames without an skb, as a network card's driver has them");
    app.add_option("--mac", options.mac, "MAC of the node")->required();
    app.add_option("--source", options.source, "outer source")->required();
    app.add_option("--destination", options.destination, "outer destination: the node's address")->required();
    app.add_option("--inner-source", options.inner_source, "inner source")->required();
    app.add_option("--inner-destination", options.inner_destination, "inner destination")->required();
    app.add_option("--port", options.port, "UDP port of the overlay");
    app.add_option("--vni", options.vni, "VNI of the overlay")->check(CLI::Range(0U, 0xffffffU));
    app.add_option("--count", options.count, "packets")->check(CLI::Range(1, 1'000'000'000));
    app.add_option("--cpu", options.cpu, "run on this CPU only")->check(CLI::NonNegativeNumber);
    CLI11_PARSE(app, argc, argv);
    if (auto done = podlane::traffic::run(options); !done) {
        fmt::print(stderr, "flood: {}\n", done.error().message);
        return 1;
    }
    return 0;
}
