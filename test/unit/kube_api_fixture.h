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

// The body of a recorded HTTP response that was compressed for the repository: headers and chunk sizes taken off.
[[nodiscard]] inline std::string kube_api_body(const std::string& name) {
    gzFile file = gzopen(kube_api_path(name).c_str(), "rb");
    if (file == nullptr) {
        throw std::runtime_error("no fixture " + name);
    }
    std::string response;
    std::string block(65536, '\0');
    for (int size = 0; (size = gzread(file, block.data(), static_cast<unsigned>(block.size()))) > 0;) {
        response.append(block, 0, static_cast<std::size_t>(size));
    }
    gzclose(file);

    std::string body;
    std::size_t at = response.find("\r\n\r\n") + 4;
    for (;;) {
        const auto end_of_size = response.find("\r\n", at);
        const auto size = std::stoul(response.substr(at, end_of_size - at), nullptr, 16);
        if (size == 0) {
            return body;
        }
        body.append(response, end_of_size + 2, size);
        at = end_of_size + 2 + size + 2;
    }
}

}  // namespace podlane::test
