// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loader/attach.h"
#include "loader/bpffs.h"
#include "maps/base/result.h"
#include "maps/spec.h"

namespace podlane {

// The loaded programs, with the pinned maps behind them. Goes away without a trace in the kernel, but for the pins
// and whatever an Attacher attached.
class Datapath {
public:
    // Opens, configures and loads every program; creates and pins the maps that are not pinned yet, and takes over
    // those that are. `pins` must have been created. An error names the program and ends with the verifier's words.
    [[nodiscard]] static Result<Datapath> load(const PinDirectory& pins, const datapath_config& config);

    Datapath(Datapath&&) noexcept;
    Datapath& operator=(Datapath&&) noexcept;
    Datapath(const Datapath&) = delete;
    Datapath& operator=(const Datapath&) = delete;
    ~Datapath();

    // Pins the maps again that somebody unpinned, or put another map in the place of; returns their names. The programs
    // keep the maps meanwhile, but a restarted agent, and `agentctl map`, would not find them. `pins` must have been
    // created.
    [[nodiscard]] Result<std::vector<std::string>> restore_pins(const PinDirectory& pins) const;

    // Loads what the l3 hooks run, once: few nodes have such devices, and the verifier takes its time, which is also
    // why a failure is final: it is told again at each call, until the next load(). `pins` and `config` as for load().
    [[nodiscard]] Result<void> load_l3(const PinDirectory& pins, const datapath_config& config);

    // The program of a hook; the datapath keeps it. Negative: one of an l3 hook without a load_l3() that succeeded.
    [[nodiscard]] int program_fd(Hook hook) const;
    // bpf/nat_sweep.bpf.c, for BPF_PROG_TEST_RUN; the datapath keeps it.
    [[nodiscard]] int nat_sweep_fd() const;

private:
    struct Objects;
    explicit Datapath(std::unique_ptr<Objects> objects);
    std::unique_ptr<Objects> objects_;
};

}  // namespace podlane
