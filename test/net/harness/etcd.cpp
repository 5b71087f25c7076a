// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/etcd.h"

#include <openssl/evp.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <utility>

#include "test/net/harness/error.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

using nlohmann::json;

const unsigned char* bytes_of(const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

std::string encoded(const std::string& bytes) {
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
    text.resize(static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes_of(bytes),
                                                         static_cast<int>(bytes.size()))));
    return text;
}

std::string decoded(const json& object, const char* name) {
    const auto text = object.value(name, "");
    std::string bytes(text.size() / 4 * 3, '\0');
    EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), bytes_of(text), static_cast<int>(text.size()));
    const auto end = text.find('=');  // which it decodes to zeros
    bytes.resize(bytes.size() - (end == std::string::npos ? 0 : text.size() - end));
    return bytes;
}

}  // namespace

Etcd::Etcd(const Namespace& ns, std::string address, const EtcdTls& tls)
    : ns_(ns), files_("etcd"), url_(fmt::format("{}://{}:2379", tls.server == nullptr ? "http" : "https", address)) {
    if (tls.server != nullptr) {
        server_options_ = {"--cert-file", write("server.pem", tls.server->certificate_pem()), "--key-file",
                           write("server.key", tls.server->key_pem())};
        client_options_ = {"--cacert", write("server-ca.pem", tls.server_authority)};
    }
    if (!tls.client_authority.empty()) {
        server_options_.insert(server_options_.end(), {"--client-cert-auth", "--trusted-ca-file",
                                                       write("client-ca.pem", tls.client_authority)});
        client_options_.insert(client_options_.end(), {"--cert", write("client.pem", tls.client->certificate_pem()),
                                                       "--key", write("client.key", tls.client->key_pem())});
    }
    start();
}

std::string Etcd::write(const std::string& name, const std::string& text) const {
    const auto path = files_.path() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
}

void Etcd::start() {
    std::vector<std::string> argv = {"etcd",
                                     "--data-dir",
                                     (files_.path() / "data").string(),
                                     "--listen-client-urls",
                                     url_,
                                     "--advertise-client-urls",
                                     url_,
                                     "--listen-peer-urls",
                                     "http://127.0.0.1:2380",
                                     "--heartbeat-interval",
                                     "20",
                                     "--election-timeout",
                                     "200"};
    argv.insert(argv.end(), server_options_.begin(), server_options_.end());
    process_ = std::make_unique<Process>(ns_, argv);
    const bool answers = wait_until(
        [this] {
            try {
                return revision() > 0;
            } catch (const HarnessError&) {
                return false;
            }
        },
        std::chrono::seconds(10));
    if (!answers) {
        raise_error("etcd does not answer: {}", process_->output());
    }
}

void Etcd::stop() {
    process_->signal(SIGKILL);
    static_cast<void>(process_->wait(std::chrono::seconds(5)));
    process_.reset();
}

void Etcd::wipe() {
    std::filesystem::remove_all(files_.path() / "data");
}

json Etcd::post(const std::string& path, const json& request) const {
    std::vector<std::string> argv = {"curl", "-s", "-S", "-m", "5", "-d", request.dump(), url_ + path};
    argv.insert(argv.end(), client_options_.begin(), client_options_.end());
    const auto done = run(ns_, argv);
    auto answer = json::parse(done.out, nullptr, false);
    if (!done.ok() || !answer.is_object() || answer.contains("error")) {
        raise_error("etcd: {}", done.describe());
    }
    return answer;
}

void Etcd::put(const std::string& key, const std::string& value, std::int64_t lease) const {
    static_cast<void>(
        post("/v3/kv/put", {{"key", encoded(key)}, {"value", encoded(value)}, {"lease", std::to_string(lease)}}));
}

void Etcd::remove(const std::string& key) const {
    static_cast<void>(post("/v3/kv/deleterange", {{"key", encoded(key)}}));
}

Etcd::Found Etcd::get(const std::string& key) const {
    const auto answer = post("/v3/kv/range", {{"key", encoded(key)}});
    if (!answer.contains("kvs")) {
        return {};
    }
    const auto& found = answer["kvs"][0];
    return {.value = decoded(found, "value"),
            .lease = std::stoll(found.value("lease", "0")),
            .revision = std::stoll(found.value("mod_revision", "0"))};
}

std::vector<std::string> Etcd::keys(const std::string& prefix) const {
    auto end = prefix;
    ++end.back();
    const auto answer = post("/v3/kv/range", {{"key", encoded(prefix)}, {"range_end", encoded(end)}});
    std::vector<std::string> result;
    for (const auto& each : answer.value("kvs", json::array())) {
        result.push_back(decoded(each, "key"));
    }
    return result;
}

std::int64_t Etcd::revision() const {
    return std::stoll(post("/v3/kv/range", {{"key", encoded("x")}})["header"]["revision"].get<std::string>());
}

}  // namespace podlane::net
