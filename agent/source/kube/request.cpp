// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/request.h"

#include "agent/source/kube/decoder.h"
#include "agent/text/printable.h"

namespace podlane {

HttpQuery kube_request(const KubeAccess& access, std::string_view target, const HttpTimeouts& timeouts) {
    HttpQuery request{.url = fmt::format("{}{}", access.server, target),
                      .headers = {"Accept: application/json", "User-Agent: podlane-agent/" PODLANE_VERSION},
                      .tls = {.ca_pem = access.ca_pem,
                              .verify = access.verify,
                              .certificate_pem = access.certificate_pem,
                              .key_pem = access.key_pem,
                              .server_name = access.tls_server_name},
                      .timeouts = timeouts};
    if (!access.token.empty()) {
        request.headers.push_back("Authorization: Bearer " + access.token);
    }
    return request;
}

std::string percent_encoded(std::string_view text) {
    std::string result;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           std::string_view("-._~").contains(c);
        result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return result;
}

std::string describe_refusal(int status, const std::string& body) {
    const auto head = read_object_head(body);
    const auto text = printable(head && !head->message.empty() ? head->message : body.substr(0, body.find('\n')));
    return text.empty() ? fmt::format("{}", status) : fmt::format("{}: {}", status, text);
}

}  // namespace podlane
