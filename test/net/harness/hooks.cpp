// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/hooks.h"

#include <linux/bpf.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "test/net/harness/error.h"
#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

// None where the kernel knows no TCX (EINVAL).
unsigned count_links(const DeviceRef& device, bpf_attach_type type) {
    return in_namespace(device.ns, [&] {
        bpf_attr attributes{};
        attributes.query.target_ifindex = ::if_nametoindex(device.name.c_str());
        attributes.query.attach_type = type;
        if (::syscall(SYS_bpf, BPF_PROG_QUERY, &attributes, sizeof(attributes)) != 0 && errno != EINVAL) {
            raise_errno("ask for the programs of {}", device.name);
        }
        return attributes.query.prog_cnt;
    });
}

// tc fails where there is no qdisc to hold any.
unsigned count_filters(const DeviceRef& device, const char* direction) {
    const std::string listing = run(device.ns, {"tc", "filter", "show", "dev", device.name, direction}).out;
    unsigned filters = 0;
    for (auto at = listing.find("direct-action"); at != std::string::npos; at = listing.find("direct-action", at + 1)) {
        ++filters;
    }
    return filters;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const HookCount& count) {
    return out << "TCX " << count.tcx_in << " in, " << count.tcx_out << " out; filters " << count.filters_in << " in, "
               << count.filters_out << " out";
}

HookCount count_hooks(const DeviceRef& device) {
    return {.tcx_in = count_links(device, BPF_TCX_INGRESS),
            .tcx_out = count_links(device, BPF_TCX_EGRESS),
            .filters_in = count_filters(device, "ingress"),
            .filters_out = count_filters(device, "egress")};
}

}  // namespace podlane::net
