// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace podlane::test {

[[nodiscard]] inline std::string kube_api_path(const std::string& name) {
    return std::string(PODLANE_TEST_DATA "/kube-api/") + name;
}

[[nodiscard]] inline std::string kube_api_text(const std::string& name) {
    std::ifstream file(kube_api_path(name), std::ios::binary);
    if (!file) {
        throw std::runtime_error("no fixture " + name);
    }
    return {std::istreambuf_iterator<char>(file), {}};
}

// The same, of one that was compressed for the repository.
[[nodiscard]] inline std::string kube_api_unzipped(const std::string& name) {
    gzFile file = gzopen(kube_api_path(name).c_str(), "rb");
    if (file == nullptr) {
        throw std::runtime_error("no fixture " + name);
    }
    std::string text;
    std::string block(65536, '\0');
    for (int size = 0; (size = gzread(file, block.data(), static_cast<unsigned>(block.size()))) > 0;) {
        text.append(block, 0, static_cast<std::size_t>(size));
    }
    gzclose(file);
    return text;
}

// The body of a recorded HTTP response: headers and chunk sizes taken off. One that was cut is as long as it came.
[[nodiscard]] inline std::string body_of(const std::string& response) {
    std::size_t at = response.find("\r\n\r\n") + 4;
    if (response.substr(0, at).find("Transfer-Encoding: chunked") == std::string::npos) {
        return response.substr(at);
    }
    std::string body;
    while (at < response.size()) {
        const auto end_of_size = response.find("\r\n", at);
        const auto size = std::stoul(response.substr(at, end_of_size - at), nullptr, 16);
        if (size == 0) {
            break;
        }
        body.append(response, end_of_size + 2, size);
        at = end_of_size + 2 + size + 2;
    }
    return body;
}
[[nodiscard]] inline std::string kube_api_body(const std::string& name) {
    return body_of(name.ends_with(".gz") ? kube_api_unzipped(name) : kube_api_text(name));
}

}  // namespace podlane::test
