// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "maps/base/result.h"

namespace podlane {

// Where the API server is and what to show it: everything read, nothing left to look up.
struct KubeAccess {
    std::string server;           // "https://10.96.0.1:443", without a slash at its end
    std::string tls_server_name;  // whom the certificate must name; empty: the host of `server`
    std::string ca_pem;           // empty: the system's certificate authorities
    bool verify = true;           // the server's certificate
    std::string certificate_pem;  // the client's, with its key; both or none
    std::string key_pem;
    std::string token;  // empty: none

    bool operator==(const KubeAccess&) const = default;
};

// Where access is described. Read anew for every request: tokens and certificates are replaced while the agent runs.
struct KubeAccessSource {
    std::string kubeconfig = std::string();  // empty: the pod's service account
    // KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT
    std::map<std::string, std::string> environment = std::map<std::string, std::string>();
    std::string service_account = "/var/run/secrets/kubernetes.io/serviceaccount";
};
// An error names the file, the line and the key, or the variable. Nothing in it is secret.
[[nodiscard]] Result<KubeAccess> read_access(const KubeAccessSource& source);

// A token as a file holds it, without the white space around it. An error: it is empty, or cannot be a header's value.
[[nodiscard]] Result<std::string> read_token(const std::string& path);

}  // namespace podlane
