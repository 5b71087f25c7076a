// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/event_loop.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/socket.h"
#include "agent/node/gateway_question.h"
#include "agent/observe/health.h"
#include "agent/reconcile/host_move.h"
#include "agent/reconcile/link_reconciler.h"
#include "agent/state/macvlan_state.h"

namespace podlane {

// What is to be done next about the place of a host's address.
enum class HostStep {
    none,
    wait,       // the master's addresses or routes have just changed: somebody may not be done
    ask,        // whether the gateway answers now, before anything is moved
    move,       // to the shim
    follow_up,  // what has come back to the master, to the shim
    give_back,  // to the master
};

struct MoveFacts {
    bool wanted = false;  // on the shim
    HostPlace place = HostPlace::master;
    bool has_address = false;     // the host has one, wherever
    bool is_on_both = false;      // on the shim, and the master has one again
    bool shim_ready = false;      // up behind its programs, on a master that has a carrier
    bool settled = false;         // nothing of the master's has changed for a while
    bool asked = false;           // the gateway has answered, or has not, or there is none
    bool under_question = false;  // it is being asked at this moment
};
[[nodiscard]] HostStep next_step(const MoveFacts& facts);

// The moves of the macvlan networks with `hostAddress: move`. A move is one transaction: the gateway is asked before
// and after, and when it has ceased to answer everything goes back and stays there until the configuration is read anew
// or the master's carrier comes back.
class HostMoves {
public:
    using Clock = std::chrono::steady_clock;

    // `on_due`: another step may be. The loop and the socket must outlive this.
    HostMoves(EventLoop& loop, netlink::Socket& socket, const std::vector<MacvlanConfig>& settings,
              std::function<void()> on_due);

    void observe(const netlink::Event& event);
    // Networks whose host's address has to be on the master.
    [[nodiscard]] const std::set<std::string>& refused() const { return refused_names_; }

    // For networks as of the last pass. `wait` arms a timer.
    [[nodiscard]] HostStep next(const MacvlanNetwork& network);
    // Where there is no gateway the next step follows at once.
    void ask_before(const MacvlanNetwork& network);
    // One of move, follow_up and give_back: done, or undone again; report() tells why then.
    void carry_out(const MacvlanNetwork& network, HostStep step);
    // Once the datapath has followed: tells the LAN where the addresses are, those `returned` among them, and after a
    // move asks the gateway again.
    void announce(std::vector<ReturnedHost> returned);
    // False: there is nothing to tell.
    bool report(HealthBoard& health) const;

private:
    struct Refusal {
        std::string reason;
        std::string action;
        enum class Until { carrier, change } until = Until::carrier;
    };
    // The gateway still answers, asked with the shim's MAC.
    struct Proof {
        GatewayQuestion::Asked asked;
        std::string shim;
        std::string master;
    };
    struct Progress {
        std::uint32_t master_ifindex = 0;
        Clock::time_point changed = Clock::now();  // of what the master has
        bool asked = false;
        std::optional<Ipv4Address> answering{};  // gateway that answered before the move
        std::optional<Proof> proof{};            // that is still to be asked for
        bool carrier_lost = false;
        std::optional<Refusal> refusal{};
        std::string stuck{};              // why the addresses could not go back to the master
        Clock::time_point stuck_since{};  // when it was tried
        std::unique_ptr<GatewayQuestion> question{};
    };

    void wait(Clock::duration time);
    void refuse(const std::string& network, Refusal refusal);
    void forgive(const std::string& network, Progress& progress);
    void note_change(const std::string& network, Progress& progress);
    void observe_master(const std::string& network, Progress& progress, const netlink::Link& master);
    void ask_for_proof(const std::string& network, Progress& progress);
    [[nodiscard]] Result<std::vector<Ipv4Address>> perform(const MacvlanNetwork& network, HostStep step);

    EventLoop& loop_;
    netlink::Socket& socket_;
    std::function<void()> on_due_;
    std::map<std::string, std::string> masters_;  // name by network
    std::map<std::string, Progress> progress_;    // by network
    std::vector<ReturnedHost> to_announce_;
    std::set<std::string> refused_names_;
    EventLoop::Watch settled_;
};

}  // namespace podlane
