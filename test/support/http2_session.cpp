// SPDX-License-Identifier: Apache-2.0
#include "test/support/http2_session.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <utility>
#include <vector>

#include "test/support/kube_api_fixture.h"

namespace podlane::test {
namespace {

std::string_view text(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

nghttp2_nv header(const std::string& name, const std::string& value) {
    // The library copies: it takes pointers to bytes that it does not write.
    const auto bytes = [](const std::string& one) {
        return reinterpret_cast<std::uint8_t*>(const_cast<char*>(one.data()));  // NOLINT(*-const-cast)
    };
    return {.name = bytes(name),
            .value = bytes(value),
            .namelen = name.size(),
            .valuelen = value.size(),
            .flags = NGHTTP2_NV_FLAG_NONE};
}

// Names are lower case in HTTP/2, and what speaks of the connection has no place there (RFC 9113, 8.2).
std::vector<std::pair<std::string, std::string>> headers_of(const std::string& answer) {
    std::vector<std::pair<std::string, std::string>> result;
    result.emplace_back(":status", answer.substr(answer.find(' ') + 1, 3));
    for (std::size_t at = answer.find("\r\n") + 2; answer.compare(at, 2, "\r\n") != 0;) {
        const auto end = answer.find("\r\n", at);
        const auto colon = answer.find(": ", at);
        auto name = answer.substr(at, colon - at);
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (name != "transfer-encoding" && name != "connection") {
            result.emplace_back(name, answer.substr(colon + 2, end - colon - 2));
        }
        at = end + 2;
    }
    return result;
}

Http2Session& self(void* data) {
    return *static_cast<Http2Session*>(data);
}

}  // namespace

Http2Session::Http2Session(Handler handler) : handler_(std::move(handler)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                      const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* data) {
            self(data).take_header(frame->hd.stream_id, text(name, name_size), text(value, value_size));
            return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* data) {
            if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
                self(data).respond(frame->hd.stream_id);
            }
            return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t id, std::uint32_t, void* data) {
            self(data).streams_.erase(id);
            return 0;
        });
    nghttp2_session* session = nullptr;
    const int made = nghttp2_session_server_new(&session, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    if (made != 0) {
        throw std::runtime_error(nghttp2_strerror(made));
    }
    session_.reset(session);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
}

bool Http2Session::receive(std::string_view bytes) {
    return nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                    bytes.size()) == static_cast<ssize_t>(bytes.size());
}

std::string_view Http2Session::send() {
    const std::uint8_t* data = nullptr;
    const auto size = nghttp2_session_mem_send(session_.get(), &data);
    return size > 0 ? text(data, static_cast<std::size_t>(size)) : std::string_view();
}

void Http2Session::take_header(std::int32_t id, std::string_view name, std::string_view value) {
    auto& stream = streams_[id];
    if (name == ":path") {
        stream.path = value;
    } else if (name == "authorization") {
        stream.headers += "Authorization: " + std::string(value) + "\r\n";
    }
}

void Http2Session::respond(std::int32_t id) {
    auto& stream = streams_[id];
    stream.answer = handler_("GET " + stream.path + " HTTP/2\r\n" + stream.headers + "\r\n");
    stream.body = body_of(stream.answer.bytes);
    const auto headers = headers_of(stream.answer.bytes);
    std::vector<nghttp2_nv> lines;
    lines.reserve(headers.size());
    for (const auto& [name, value] : headers) {
        lines.push_back(header(name, value));
    }
    nghttp2_data_provider provider{};
    provider.source.ptr = this;
    provider.read_callback = [](nghttp2_session*, std::int32_t stream_id, std::uint8_t* buffer, std::size_t size,
                                std::uint32_t* flags, nghttp2_data_source* source,
                                void*) { return self(source->ptr).read_body(stream_id, buffer, size, *flags); };
    nghttp2_submit_response(session_.get(), id, lines.data(), lines.size(), &provider);
}

ssize_t Http2Session::read_body(std::int32_t id, std::uint8_t* buffer, std::size_t size, std::uint32_t& flags) {
    auto& stream = streams_[id];
    const auto length = std::min({size, stream.answer.piece, stream.body.size() - stream.sent});
    std::copy_n(stream.body.data() + stream.sent, length, buffer);
    stream.sent += length;
    const bool all = stream.sent == stream.body.size();
    if (all && stream.answer.then == Answer::Then::next_request) {
        flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (length == 0) {
        cut_ = cut_ || stream.answer.then == Answer::Then::close;
        return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(length);
}

}  // namespace podlane::test
