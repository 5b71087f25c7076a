// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "agent/netlink/message.h"
#include "maps/base/result.h"

namespace podlane::netlink {

// A synchronous netlink socket (of rtnetlink unless said otherwise) of one network namespace: the one it was opened in,
// wherever the thread goes later. Every call returns within the time the kernel needs, and gives up after one second
// without an answer; the socket stays usable then, late answers are recognised and dropped. Not for use by two threads
// at once.
//
// Errors carry the kernel's errno and, where it gives one, its explanation (NLMSGERR_ATTR_MSG):
// "add route 10.244.2.0/24 dev podlane0: Network is unreachable (Nexthop has invalid gateway)".
class Socket {
public:
    using Visitor = std::function<void(const nlmsghdr&)>;
    // `index`: of the request in the batch that the message answers.
    using AnswerVisitor = std::function<void(std::size_t index, const nlmsghdr&)>;

    // In the calling thread's network namespace. `family`: NETLINK_ROUTE, NETLINK_NETFILTER.
    [[nodiscard]] static Result<Socket> open(int family = NETLINK_ROUTE);
    // In `network_namespace`; the thread is back in its own when this returns. The caller keeps the descriptor.
    [[nodiscard]] static Result<Socket> open_in(int network_namespace);

    // Sends one request and waits for its acknowledgement.
    [[nodiscard]] Result<void> execute(Message request);
    // Sends many requests, a few hundred per system call, and collects one result for each, in their order. One that
    // fails does not stop the others.
    [[nodiscard]] std::vector<Result<void>> execute(std::span<Message> requests);
    // Sends the messages of one nf_tables transaction, its begin and end around them: all of it is done, or nothing.
    [[nodiscard]] Result<void> transact(std::span<Message> batch);
    // As execute, for requests that the kernel answers with data, which `visit` gets before the results are returned.
    [[nodiscard]] std::vector<Result<void>> query(std::span<Message> requests, const AnswerVisitor& visit);

    // Reads a whole table. A dump that the kernel marks as inconsistent (NLM_F_DUMP_INTR: the table changed
    // meanwhile) is repeated; after five such dumps the error is EINTR.
    template <typename T>
    [[nodiscard]] Result<std::vector<T>> dump(Message request, std::optional<T> (*decode)(const nlmsghdr&)) {
        std::vector<T> rows;
        const auto visit = [&](const nlmsghdr& message) {
            if (auto row = decode(message)) {
                rows.push_back(std::move(*row));
            }
        };
        if (const auto done = dump_raw(request, [&] { rows.clear(); }, visit); !done) {
            return std::unexpected(done.error());
        }
        return rows;
    }

private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    using Handle = std::unique_ptr<mnl_socket, Close>;
    struct Window;
    enum class DumpEnd { complete, interrupted };

    Socket(Handle handle, std::size_t window);
    [[nodiscard]] Result<void> send(std::span<Message> requests);
    // One datagram into buffer_: its size.
    [[nodiscard]] Result<std::size_t> receive();
    // The messages of the datagram in buffer_ that are addressed to this socket.
    void for_each_message(std::size_t size, const Visitor& visit) const;
    [[nodiscard]] std::size_t window_size(std::span<Message> requests) const;
    [[nodiscard]] Result<void> exchange(Window& window);
    [[nodiscard]] Result<void> dump_raw(Message& request, const std::function<void()>& restart, const Visitor& visit);
    [[nodiscard]] Result<DumpEnd> dump_once(Message& request, const Visitor& visit);

    Handle handle_;
    std::size_t window_;  // requests whose answers are sure to fit into the receive buffer
    std::uint32_t sequence_ = 0;
    std::vector<std::byte> buffer_;
};

}  // namespace podlane::netlink
