// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace podlane::migrate {

Result<Fd> lock_out_others(const Place& place) {
    Fd lock(::open(place.run_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock.valid()) {
        return errno == ENOENT ? Result<Fd>(Fd()) : fail_errno(errno, "open {}", place.run_dir.string());
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
        return lock;
    }
    if (errno == EWOULDBLOCK) {
        return fail("another agentctl migrate changes this node (it has {} locked): run this again when it has ended",
                    place.run_dir.string());
    }
    return fail_errno(errno, "lock {}", place.run_dir.string());
}

}  // namespace podlane::migrate
