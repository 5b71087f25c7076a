// SPDX-License-Identifier: Apache-2.0
#include "agent/node/masquerade_file.h"

#include "agent/config/ip_masq_agent.h"
#include "agent/log.h"

namespace podlane {
namespace {

Result<IpMasqAgentConfig> rules_of(const Result<FollowedFile::Text>& text, const std::string& path) {
    if (!text) {
        return std::unexpected(text.error());
    }
    return *text ? parse_ip_masq_agent(**text, path) : IpMasqAgentConfig{};
}

}  // namespace

Result<std::unique_ptr<FollowedFile>> follow_ip_masq_agent(EventLoop& loop, NodeAgent& agent, const std::string& path) {
    return FollowedFile::create(loop, path, [&agent, path](const Result<FollowedFile::Text>& text) {
        const auto rules = rules_of(text, path);
        if (rules && *text) {
            log::info("{}: {} networks that are not translated, masqLinkLocal {}", path,
                      rules->non_masquerade_cidrs.size(), rules->masq_link_local);
        }
        agent.use_ip_masq_agent(rules);
    });
}

}  // namespace podlane
