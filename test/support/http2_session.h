// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "test/support/answer.h"

namespace podlane::test {

// The server's side of one HTTP/2 connection, bytes in and bytes out. An answer is that of an HTTP/1.1 server: its head
// and body are sent in HTTP/2's frames, the body in pieces.
class Http2Session {
public:
    using Handler = std::function<Answer(const std::string& request)>;

    explicit Http2Session(Handler handler);
    Http2Session(const Http2Session&) = delete;
    Http2Session& operator=(const Http2Session&) = delete;
    ~Http2Session() = default;

    // False: the client broke the protocol.
    [[nodiscard]] bool receive(std::string_view bytes);
    // What is to be sent now; empty: nothing. Valid until the next call.
    [[nodiscard]] std::string_view send();
    // An answer was to end by a cut, and has been sent.
    [[nodiscard]] bool is_cut() const { return cut_; }

private:
    struct Stream {
        std::string path;
        std::string headers;
        Answer answer;
        std::string body;
        std::size_t sent = 0;
    };
    struct FreeSession {
        void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
    };

    void take_header(std::int32_t id, std::string_view name, std::string_view value);
    void respond(std::int32_t id);
    [[nodiscard]] ssize_t read_body(std::int32_t id, std::uint8_t* buffer, std::size_t size, std::uint32_t& flags);

    Handler handler_;
    std::unique_ptr<nghttp2_session, FreeSession> session_;
    std::map<std::int32_t, Stream> streams_;
    bool cut_ = false;
};

}  // namespace podlane::test
