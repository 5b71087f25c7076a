// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "agent/ctl/http_server.h"

namespace podlane {
namespace {

constexpr mode_t owner_only = 0600;
constexpr int backlog = 64;

Result<sockaddr_un> socket_address(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string& text = path.native();
    if (text.empty() || text.size() >= sizeof(address.sun_path)) {
        return fail_errno(ENAMETOOLONG, "listen on {} (a socket's path has at most {} bytes)", text,
                          sizeof(address.sun_path) - 1);
    }
    std::memcpy(address.sun_path, text.data(), text.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

// Makes way for a new socket at `path`, unless something there is alive or no socket at all.
Result<void> clear_stale(const std::filesystem::path& path, const sockaddr_un& address) {
    struct stat status{};
    if (lstat(path.c_str(), &status) != 0) {
        return errno == ENOENT ? Result<void>{} : fail_errno(errno, "listen on {}", path.native());
    }
    if (!S_ISSOCK(status.st_mode)) {
        return fail_errno(EEXIST, "listen on {} (not a socket, so it is left alone)", path.native());
    }
    const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe.valid()) {
        return fail_errno(errno, "listen on {}", path.native());
    }
    if (connect(probe.get(), generic(address), sizeof(address)) == 0 || errno == EAGAIN) {
        return fail_errno(EADDRINUSE, "listen on {} (another agent answers there)", path.native());
    }
    if (errno != ECONNREFUSED) {
        return fail_errno(errno, "listen on {}", path.native());
    }
    if (unlink(path.c_str()) != 0) {
        return fail_errno(errno, "remove the stale socket {}", path.native());
    }
    return {};
}

}  // namespace

Result<Fd> listen_unix(const std::filesystem::path& path) {
    const auto address = socket_address(path);
    if (!address) {
        return std::unexpected(address.error());
    }
    if (const auto cleared = clear_stale(path, *address); !cleared) {
        return std::unexpected(cleared.error());
    }
    Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener.valid()) {
        return fail_errno(errno, "listen on {}", path.native());
    }
    // Before bind, so that the file never exists with a wider mode (unix(7): bind takes the socket's mode).
    if (fchmod(listener.get(), owner_only) != 0 || bind(listener.get(), generic(*address), sizeof(*address)) != 0 ||
        listen(listener.get(), backlog) != 0) {
        return fail_errno(errno, "listen on {}", path.native());
    }
    return listener;
}

}  // namespace podlane
