// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "agent/link/host_network.h"
#include "agent/reconcile/link_reconciler.h"
#include "test/net/harness/temp_dir.h"
#include "test/net/link_kernel.h"

namespace podlane::net {

// A node, 10.0.0.1, with two peers and one pod whose host side is veth5; the kernel is that of link_kernel.h.
class LinkSceneTest : public LinkKernelTest {
protected:
    LinkSceneTest()
        : run_dir_("run"),
          record_path_(run_dir_.path() / "sysctls.json"),
          reconciler_(socket(), SysctlRecord(record_path_)) {
        ip("link add veth5 type veth peer name pod5");
        ip("link set veth5 up");
        ip("link set pod5 up");
        set_sysctl(ns_, "net/ipv4/ip_forward", "0");
        set_sysctl(ns_, "net/ipv4/conf/all/rp_filter", "0");
    }

    static HostNetworkInputs inputs() {
        return {
            .overlay = WantedOverlayDevice{.name = "podlane0",
                                           .port = 8472,
                                           .mac = vtep_mac(address("10.0.0.1")),
                                           .mtu = 1450,
                                           .addresses = {address("10.0.0.1")}},
            .node_address = address("10.0.0.1"),
            .peers = {{.pod_cidr = prefix("10.244.2.0/24")}, {.pod_cidr = prefix("10.244.3.0/24"), .mtu = 1400}},
            .cluster_cidrs = {prefix("10.244.0.0/16")},
            .pods = {{.ip = address("10.244.1.5"), .mac = MacAddress({2, 0, 0, 0, 0, 5}), .host_interface = "veth5"}}};
    }
    static WantedHostNetwork wanted() { return build_host_network(inputs()); }

    // A pass that must succeed as a whole.
    LinkReport reconcile(const WantedHostNetwork& network, Sweep sweep = Sweep::remove) {
        auto report = reconciler_.reconcile(network, sweep);
        EXPECT_TRUE(succeeded(report));
        return std::move(report).value_or(LinkReport{});
    }
    std::vector<std::string> problems(const LinkReport& report) {
        std::vector<std::string> messages;
        std::ranges::transform(report.errors, std::back_inserter(messages), &Error::message);
        return messages;
    }
    // What agentctl would show that is not ok.
    std::vector<LinkItem> not_ok(const WantedHostNetwork& network) {
        auto items = reconciler_.inspect(network).value();
        std::erase_if(items, [](const LinkItem& item) { return item.state == LinkState::ok; });
        return items;
    }

    TempDir run_dir_;
    std::string record_path_;
    LinkReconciler reconciler_;
};

}  // namespace podlane::net
