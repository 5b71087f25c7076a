// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/kubeconfig.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "agent/config/config_tree.h"
#include "agent/files.h"
#include "agent/text/base64.h"
#include "agent/text/printable.h"

namespace podlane {
namespace {

using Type = ConfigNode::Type;

const ConfigNode::Member* find(const ConfigNode& map, std::string_view key) {
    const auto found = std::ranges::find(map.members, key, &ConfigNode::Member::key);
    return found == map.members.end() || found->value->is_null() ? nullptr : &*found;
}

// A key that must not be there, and what to do about it.
struct Refusal {
    std::string_view key;
    std::string_view message;
};
constexpr auto user_refusals = std::to_array<Refusal>({
    {"exec", "is not supported: the agent runs no programs. Use a token, a tokenFile or a client certificate"},
    {"auth-provider", "is not supported. Use a token, a tokenFile or a client certificate"},
    {"username", "is not supported. Use a token, a tokenFile or a client certificate"},
    {"as", "is not supported: give the agent an account of its own"},
});
constexpr auto cluster_refusals = std::to_array<Refusal>({
    {"proxy-url", "is not supported: the API server must be reachable directly"},
});

class Reader {
public:
    explicit Reader(const std::string& path) : path_(path) {}

    Result<KubeAccess> read() {
        const auto text = read_small_file(path_);
        if (!text) {
            return std::unexpected(text.error());
        }
        const auto tree = read_config_tree(*text, path_);
        if (!tree) {
            return std::unexpected(tree.error());
        }
        if (!*tree || (*tree)->type != Type::map) {
            return fail("{}: not a kubeconfig", path_);
        }
        const ConfigNode& root = **tree;
        const std::string context_name = text_of(root, "current-context");
        if (context_name.empty()) {
            return fail("{}: current-context is not set", path_);
        }
        const auto* context = named(root, "contexts", "context", context_name);
        const auto* cluster =
            context == nullptr ? nullptr : named(root, "clusters", "cluster", text_of(*context, "cluster"));
        const auto* user = cluster == nullptr ? nullptr : named(root, "users", "user", text_of(*context, "user"));
        if (user != nullptr) {
            read_cluster(*cluster);
            read_user(*user);
        }
        return error_ ? Result<KubeAccess>(std::unexpected(*error_)) : std::move(access_);
    }

private:
    // The first problem is the one that is told.
    void complain(unsigned line, std::string_view key, std::string_view message) {
        if (!error_) {
            error_ = Error{0, fmt::format("{}:{}: {} {}", path_, line, key, message)};
        }
    }

    std::string text_of(const ConfigNode& map, std::string_view key) {
        const auto* member = find(map, key);
        if (member == nullptr) {
            return {};
        }
        if (member->value->type != Type::scalar) {
            complain(member->line, key, "must be text");
            return {};
        }
        return member->value->text;
    }

    // `contexts: [{name: ..., context: {...}}]`
    const ConfigNode* named(const ConfigNode& root, std::string_view list, std::string_view key,
                            const std::string& name) {
        const auto* entries = find(root, list);
        if (entries != nullptr && entries->value->type == Type::list) {
            for (const auto& entry : entries->value->elements) {
                if (entry->type != Type::map || text_of(*entry, "name") != name) {
                    continue;
                }
                const auto* value = find(*entry, key);
                if (value != nullptr && value->value->type == Type::map) {
                    return value->value.get();
                }
            }
        }
        complain(entries == nullptr ? 1 : entries->line, list, fmt::format("has no {} {}", key, printable(name)));
        return nullptr;
    }

    template <std::size_t N>
    void refuse(const ConfigNode& map, const std::array<Refusal, N>& refusals) {
        for (const auto& refusal : refusals) {
            if (const auto* member = find(map, refusal.key)) {
                complain(member->line, refusal.key, refusal.message);
            }
        }
    }

    void read_cluster(const ConfigNode& cluster) {
        refuse(cluster, cluster_refusals);
        access_.server = text_of(cluster, "server");
        while (access_.server.ends_with('/')) {
            access_.server.pop_back();
        }
        if (!access_.server.starts_with("https://") && !access_.server.starts_with("http://")) {
            complain(cluster.line, "server", "must be an https:// URL");
        }
        access_.tls_server_name = text_of(cluster, "tls-server-name");
        access_.verify = text_of(cluster, "insecure-skip-tls-verify") != "true";
        access_.ca_pem = data_of(cluster, "certificate-authority");
    }

    void read_user(const ConfigNode& user) {
        refuse(user, user_refusals);
        access_.certificate_pem = data_of(user, "client-certificate");
        access_.key_pem = data_of(user, "client-key");
        if (access_.certificate_pem.empty() != access_.key_pem.empty()) {
            complain(user.line, "client-certificate", "and client-key come together");
        }
        access_.token = text_of(user, "token");
        const auto file = text_of(user, "tokenFile");
        if (!file.empty()) {
            auto token = read_token(beside(file));
            if (token) {
                access_.token = std::move(*token);
            } else if (!error_) {
                error_ = std::move(token.error());
            }
        }
        if (!std::ranges::all_of(access_.token, [](char c) { return c > 0x20 && c < 0x7f; })) {
            complain(user.line, "token", "is no token");
        }
        if (!access_.token.empty() && !access_.server.starts_with("https://")) {
            complain(user.line, "token", "is not sent to a server without https://");
        }
    }

    // `key` names a file, `key`-data holds the same in base 64 and wins.
    std::string data_of(const ConfigNode& map, std::string_view key) {
        const auto data_key = fmt::format("{}-data", key);
        if (const auto* member = find(map, data_key)) {
            auto data = decode_base64(text_of(map, data_key));
            if (!data || data->empty()) {
                complain(member->line, data_key, "is not base 64");
            }
            return data.value_or("");
        }
        const auto file = text_of(map, key);
        if (file.empty()) {
            return {};
        }
        auto text = read_small_file(beside(file));
        if (!text && !error_) {
            error_ = text.error();
        } else if (text && text->empty()) {
            complain(map.line, key, "names a file with nothing in it");
        }
        return text ? std::move(*text) : std::string();
    }

    [[nodiscard]] std::string beside(const std::string& file) const {
        return (std::filesystem::path(path_).parent_path() / file).string();
    }

    const std::string& path_;
    KubeAccess access_;
    std::optional<Error> error_;
};

}  // namespace

Result<KubeAccess> read_kubeconfig(const std::string& path) {
    return Reader(path).read();
}

}  // namespace podlane
