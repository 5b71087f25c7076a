// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <libiptc/libiptc.h>

#include "agent/netfilter/ruleset.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

// Tables of ip_tables by way of libiptc.
namespace podlane::netfilter {

struct IptcFree {
    void operator()(xtc_handle* handle) const { iptc_free(handle); }
};
// A table as iptc_init() read it, of the calling thread's network namespace. Null: errno says why, for iptc_strerror().
using IptcTable = std::unique_ptr<xtc_handle, IptcFree>;

// The tables that there are in the calling thread's network namespace; none when that cannot be read. To be asked
// before iptc_init(): asking the kernel for a table makes it.
[[nodiscard]] inline std::vector<std::string> present_iptc_tables() {
    std::vector<std::string> names;
    std::ifstream file("/proc/thread-self/net/ip_tables_names");
    for (std::string name; std::getline(file, name);) {
        names.push_back(name);
    }
    return names;
}

// Takes iptables' own lock, /run/xtables.lock or $XTABLES_LOCKFILE: whoever changes a table holds it. EAGAIN while
// another program does.
[[nodiscard]] Result<Fd> lock_iptc_tables();

// errno in libiptc's own words.
[[nodiscard]] std::unexpected<Error> fail_by_libiptc(std::string_view what);

// A rule of `table` in the readers' form, without its number.
[[nodiscard]] Rule rule_of(const ipt_entry& entry, xtc_handle* table);

}  // namespace podlane::netfilter
