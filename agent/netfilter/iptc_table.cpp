// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/iptc_table.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdlib>

namespace podlane::netfilter {

Result<Fd> lock_iptc_tables() {
    const char* configured = std::getenv("XTABLES_LOCKFILE");
    const char* path = configured != nullptr ? configured : "/run/xtables.lock";
    Fd lock(::open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!lock.valid()) {
        return fail_errno(errno, "open {}", path);
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail_errno(EAGAIN, "lock {}: another program changes its rules", path);
    }
    return lock;
}

std::unexpected<Error> fail_by_libiptc(std::string_view what) {
    const int code = errno;
    return std::unexpected(Error{code, fmt::format("{}: {}", what, iptc_strerror(code))});
}

}  // namespace podlane::netfilter
