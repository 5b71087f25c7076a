// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/access.h"

#include <algorithm>

#include "agent/files.h"
#include "agent/source/kube/kubeconfig.h"

namespace podlane {
namespace {

Result<KubeAccess> read_service_account(const KubeAccessSource& source) {
    const auto host = source.environment.find("KUBERNETES_SERVICE_HOST");
    const auto port = source.environment.find("KUBERNETES_SERVICE_PORT");
    if (host == source.environment.end() || host->second.empty() || port == source.environment.end() ||
        port->second.empty()) {
        return fail(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: not in a pod? Set "
            "state.kubeconfig outside of one");
    }
    KubeAccess access;
    const bool ipv6 = host->second.contains(':') && !host->second.starts_with('[');
    access.server = fmt::format(fmt::runtime(ipv6 ? "https://[{}]:{}" : "https://{}:{}"), host->second, port->second);
    auto token = read_token(source.service_account + "/token");
    if (!token) {
        return std::unexpected(token.error());
    }
    access.token = std::move(*token);
    auto authority = read_small_file(source.service_account + "/ca.crt");
    if (!authority) {
        return std::unexpected(authority.error());
    }
    if (authority->empty()) {
        return fail("read {}/ca.crt: there is no certificate in it", source.service_account);
    }
    access.ca_pem = std::move(*authority);
    return access;
}

}  // namespace

Result<std::string> read_token(const std::string& path) {
    auto text = read_small_file(path);
    if (!text) {
        return text;
    }
    constexpr std::string_view white_space = " \t\r\n";
    const auto first = text->find_first_not_of(white_space);
    if (first == std::string::npos) {
        return fail("read {}: there is no token in it", path);
    }
    auto token = text->substr(first, text->find_last_not_of(white_space) + 1 - first);
    if (!std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; })) {
        return fail("read {}: what is in it is no token", path);
    }
    return token;
}

Result<KubeAccess> read_access(const KubeAccessSource& source) {
    return source.kubeconfig.empty() ? read_service_account(source) : read_kubeconfig(source.kubeconfig);
}

}  // namespace podlane
