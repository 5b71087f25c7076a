// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/access.h"

#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/text/base64.h"
#include "test/unit/running_server.h"

namespace podlane {
namespace {

using testing::HasSubstr;
using testing::Not;

class KubeAccessTest : public testing::Test {
protected:
    std::string write(const std::string& name, const std::string& text) const {
        const auto path = directory_.path() / name;
        std::ofstream(path, std::ios::binary) << text;
        return path.string();
    }
    // A kubeconfig whose current cluster and user have these members.
    Result<KubeAccess> kubeconfig(const std::string& cluster, const std::string& user) const {
        const auto path = write("config", fmt::format("apiVersion: v1\nkind: Config\ncurrent-context: here\n"
                                                      "contexts:\n- name: there\n  context: {{cluster: x, user: y}}\n"
                                                      "- name: here\n  context: {{cluster: c, user: u}}\n"
                                                      "clusters:\n- name: c\n  cluster: {{{}}}\n"
                                                      "users:\n- name: u\n  user: {{{}}}\n",
                                                      cluster, user));
        return read_access({.kubeconfig = path});
    }
    std::string error_of(const std::string& cluster, const std::string& user) const {
        const auto access = kubeconfig(cluster, user);
        return access ? "no error" : access.error().message;
    }
    KubeAccessSource pod(const std::string& host = "10.96.0.1") const {
        return {.kubeconfig = "",
                .environment = {{"KUBERNETES_SERVICE_HOST", host}, {"KUBERNETES_SERVICE_PORT", "443"}},
                .service_account = directory_.path().string()};
    }

    TemporaryDirectory directory_;
};

TEST_F(KubeAccessTest, ServiceAccount_IsReadAnewEachTime) {
    write("token", "first\n");
    write("ca.crt", "old authority");
    auto access = read_access(pod());
    ASSERT_TRUE(access.has_value()) << access.error().message;
    EXPECT_EQ(*access, (KubeAccess{.server = "https://10.96.0.1:443",
                                   .tls_server_name = "",
                                   .ca_pem = "old authority",
                                   .verify = true,
                                   .certificate_pem = "",
                                   .key_pem = "",
                                   .token = "first"}));
    write("token", "second");
    write("ca.crt", "new authority");
    access = read_access(pod());
    ASSERT_TRUE(access.has_value());
    EXPECT_EQ(access->token, "second");
    EXPECT_EQ(access->ca_pem, "new authority");
    EXPECT_EQ(read_access(pod("fd00::1"))->server, "https://[fd00::1]:443");
}

TEST_F(KubeAccessTest, ServiceAccountThatIsNotThere_NamesWhatIsMissing) {
    EXPECT_THAT(read_access(pod()).error().message, HasSubstr("/token"));
    write("token", " \n");
    EXPECT_THAT(read_access(pod()).error().message, HasSubstr("no token in it"));
    write("token", "a\nb");
    EXPECT_THAT(read_access(pod()).error().message, HasSubstr("no token"));
    write("token", "good");
    EXPECT_THAT(read_access(pod()).error().message, HasSubstr("/ca.crt"));
    write("ca.crt", "");  // not: any authority of the system's
    EXPECT_THAT(read_access(pod()).error().message, HasSubstr("no certificate in it"));
    EXPECT_THAT(read_access({}).error().message, HasSubstr("KUBERNETES_SERVICE_HOST"));
}

TEST_F(KubeAccessTest, KubeconfigWithFiles_ReadsThoseBesideIt) {
    write("ca.pem", "CA");
    write("client.pem", "CERT");
    write("client.key", "KEY");
    const auto access =
        kubeconfig("server: 'https://api:6443/', certificate-authority: ca.pem, tls-server-name: kube",
                   "client-certificate: client.pem, client-key: " + (directory_.path() / "client.key").string());
    ASSERT_TRUE(access.has_value()) << access.error().message;
    EXPECT_EQ(*access, (KubeAccess{.server = "https://api:6443",
                                   .tls_server_name = "kube",
                                   .ca_pem = "CA",
                                   .verify = true,
                                   .certificate_pem = "CERT",
                                   .key_pem = "KEY",
                                   .token = ""}));
}

TEST_F(KubeAccessTest, KubeconfigWithData_PrefersItToFiles) {
    const auto access = kubeconfig(
        "server: 'https://api', certificate-authority: missing, "
        "certificate-authority-data: Q0E=, insecure-skip-tls-verify: true",
        "client-certificate-data: Q0VSVA==, client-key-data: S0VZ, client-key: missing");
    ASSERT_TRUE(access.has_value()) << access.error().message;
    EXPECT_EQ(access->ca_pem, "CA");
    EXPECT_EQ(access->certificate_pem, "CERT");
    EXPECT_EQ(access->key_pem, "KEY");
    EXPECT_FALSE(access->verify);
}

TEST_F(KubeAccessTest, TokenFile_WinsAndIsReadAnew) {
    write("token", "from-file\n");
    EXPECT_EQ(kubeconfig("server: 'https://api'", "token: inline, tokenFile: token")->token, "from-file");
    write("token", "rotated");
    EXPECT_EQ(kubeconfig("server: 'https://api'", "token: inline, tokenFile: token")->token, "rotated");
    EXPECT_EQ(kubeconfig("server: 'https://api'", "token: inline")->token, "inline");
}

TEST_F(KubeAccessTest, WhatTheAgentCannotDo_IsRefusedByNameAndLine) {
    const std::string cluster = "server: 'https://api'";
    EXPECT_THAT(error_of(cluster, "exec: {command: aws}"), HasSubstr("config:14: exec is not supported"));
    EXPECT_THAT(error_of(cluster, "exec: {command: aws}"), HasSubstr("runs no programs"));
    EXPECT_THAT(error_of(cluster, "auth-provider: {name: gcp}"), HasSubstr("auth-provider is not supported"));
    EXPECT_THAT(error_of(cluster, "username: a, password: secret"), HasSubstr("username is not supported"));
    EXPECT_THAT(error_of(cluster, "as: admin"), HasSubstr("as is not supported"));
    EXPECT_THAT(error_of(cluster + ", proxy-url: 'http://p'", "token: x"), HasSubstr("proxy-url is not supported"));
}

TEST_F(KubeAccessTest, BadKubeconfig_NamesTheKey) {
    EXPECT_THAT(error_of("server: api", "token: x"), HasSubstr("server must be an https:// URL"));
    EXPECT_THAT(error_of("server: 'https://api', certificate-authority-data: '*'", "token: x"),
                HasSubstr("certificate-authority-data is not base 64"));
    EXPECT_THAT(error_of("server: 'https://api', certificate-authority: gone", "token: x"), HasSubstr("/gone"));
    EXPECT_THAT(error_of("server: 'https://api'", "client-key-data: S0VZ"), HasSubstr("come together"));
    EXPECT_THAT(error_of("server: 'https://api'", "token: \"a\\r\\nX: y\""), HasSubstr("token is no token"));
    EXPECT_THAT(error_of("server: 'https://api'", "tokenFile: gone"), HasSubstr("/gone"));
    write("empty", "");
    EXPECT_THAT(error_of("server: 'https://api', certificate-authority: empty", "token: x"),
                HasSubstr("certificate-authority names a file with nothing in it"));
    EXPECT_THAT(read_access({.kubeconfig = write("config", "[]")}).error().message, HasSubstr("not a kubeconfig"));
    EXPECT_THAT(read_access({.kubeconfig = write("config", "kind: Config")}).error().message,
                HasSubstr("current-context"));
    EXPECT_THAT(read_access({.kubeconfig = write("config", "current-context: a\ncontexts: []")}).error().message,
                HasSubstr("contexts has no context a"));
}

TEST_F(KubeAccessTest, Token_GoesToNoServerThatIsNotEncrypted) {
    EXPECT_THAT(error_of("server: 'http://127.0.0.1:8001'", "token: x"), HasSubstr("token is not sent to a server"));
    EXPECT_EQ(kubeconfig("server: 'http://127.0.0.1:8001'", "")->server, "http://127.0.0.1:8001");
}

TEST_F(KubeAccessTest, Errors_TellNoSecret) {
    EXPECT_THAT(error_of("server: 'https://api'", "username: a, password: verysecret, token: verysecret"),
                Not(HasSubstr("verysecret")));
}

TEST(Base64Test, PaddedText_IsDecoded) {
    EXPECT_EQ(decode_base64(""), "");
    EXPECT_EQ(decode_base64("Zg=="), "f");
    EXPECT_EQ(decode_base64("Zm8="), "fo");
    EXPECT_EQ(decode_base64("Zm9v\nYmFy"), "foobar");
    EXPECT_EQ(decode_base64("//79"), "\xff\xfe\xfd");
}

TEST(Base64Test, WhatIsNot_IsRefused) {
    for (const auto* text : {"Z", "Zg", "Zg=", "=", "Zg==Zg==", "Zm9v!", "Zm9=v", "Z==="}) {
        EXPECT_EQ(decode_base64(text), std::nullopt) << text;
    }
}

}  // namespace
}  // namespace podlane
