// SPDX-License-Identifier: Apache-2.0
#include "test/support/tls_authority.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace podlane::test {
namespace {

constexpr long lifetime_s = 3600;

void require(bool good, const char* what) {
    if (!good) {
        throw std::runtime_error(std::string("OpenSSL cannot ") + what);
    }
}

std::string text_of(BIO* bio) {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
}

void add_extension(X509* certificate, X509* issuer, int id, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
    require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, "add an extension");
    X509_EXTENSION_free(extension);
}

Identity unsigned_identity(const std::string& common_name) {
    Identity identity{.certificate = Certificate(X509_new()), .key = Key(EVP_EC_gen("P-256"))};
    require(identity.certificate != nullptr && identity.key != nullptr, "make a key");
    X509* const certificate = identity.certificate.get();
    unsigned serial = 0;
    require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1, "make a number");
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -lifetime_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), lifetime_s);
    X509_set_pubkey(certificate, identity.key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    return identity;
}

}  // namespace

std::string Identity::certificate_pem() const {
    BIO* const bio = BIO_new(BIO_s_mem());
    require(PEM_write_bio_X509(bio, certificate.get()) == 1, "print a certificate");
    return text_of(bio);
}

std::string Identity::key_pem() const {
    BIO* const bio = BIO_new(BIO_s_mem());
    require(PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1, "print a key");
    return text_of(bio);
}

TlsAuthority::TlsAuthority(const std::string& name) : self_(unsigned_identity(name)) {
    X509* const certificate = self_.certificate.get();
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
    require(X509_sign(certificate, self_.key.get(), EVP_sha256()) > 0, "sign");
}

Identity TlsAuthority::issue(const std::string& common_name, const std::string& names) const {
    auto identity = unsigned_identity(common_name);
    X509* const certificate = identity.certificate.get();
    X509_set_issuer_name(certificate, X509_get_subject_name(self_.certificate.get()));
    add_extension(certificate, self_.certificate.get(), NID_subject_alt_name, names);
    require(X509_sign(certificate, self_.key.get(), EVP_sha256()) > 0, "sign");
    return identity;
}

}  // namespace podlane::test
