// SPDX-License-Identifier: Apache-2.0
#include "agent/node/masquerade_file.h"

#include "agent/config/ip_masq_agent.h"
#include "agent/log.h"

namespace podlane {
namespace {

Result<IpMasqAgentConfig> rules_of(const Result<FollowedFile::Text>& text, const std::string& path,
                                   const OverlaySettings& settings) {
    if (!text) {
        return std::unexpected(text.error());
    }
    if (!*text) {
        return IpMasqAgentConfig{};
    }
    auto rules = parse_ip_masq_agent(**text, path);
    const auto wanted = rules ? desired_networks(settings, &*rules).size() : 0;
    if (wanted > spec::networks_by_prefix::capacity) {
        return fail("{}: its {} networks are too many: with the configuration's that makes {}, of {} at most", path,
                    rules->non_masquerade_cidrs.size(), wanted, spec::networks_by_prefix::capacity);
    }
    return rules;
}

}  // namespace

Result<std::unique_ptr<FollowedFile>> follow_ip_masq_agent(EventLoop& loop, NodeAgent& agent, const std::string& path) {
    return FollowedFile::create(loop, path, [&agent, path](const Result<FollowedFile::Text>& text) {
        const auto rules = rules_of(text, path, agent.settings().overlay);
        if (rules && *text) {
            log::info("{}: {} networks that are not translated, masqLinkLocal {}", path,
                      rules->non_masquerade_cidrs.size(), rules->masq_link_local);
        }
        agent.use_ip_masq_agent(rules);
    });
}

}  // namespace podlane
