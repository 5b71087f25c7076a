// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace podlane::test {

struct FreeOpenssl {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeOpenssl>;
using Certificate = std::unique_ptr<X509, FreeOpenssl>;

struct Identity {
    Certificate certificate;
    Key key;

    [[nodiscard]] std::string certificate_pem() const;
    [[nodiscard]] std::string key_pem() const;
};

// A certificate authority of one test, made anew, valid for an hour. Throws when OpenSSL fails.
class TlsAuthority {
public:
    explicit TlsAuthority(const std::string& name = "podlane test authority");

    [[nodiscard]] std::string pem() const { return self_.certificate_pem(); }
    // For servers and clients. `names`: "IP:127.0.0.1,DNS:kubernetes.default.svc".
    [[nodiscard]] Identity issue(const std::string& common_name, const std::string& names) const;

private:
    Identity self_;
};

}  // namespace podlane::test
