// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/cni/config.h"
#include "agent/cni/environment.h"
#include "agent/cni/failure.h"
#include "agent/cni/process.h"
#include "agent/cni/result.h"

namespace podlane::cni {

// Who hands out addresses. `who` is the attachment that the address belongs to.
class Ipam {
public:
    Ipam() = default;
    Ipam(const Ipam&) = delete;
    Ipam& operator=(const Ipam&) = delete;
    virtual ~Ipam() = default;

    // A new address. `pod_cidrs` are this node's ranges, for a configuration that names no IPAM plugin.
    [[nodiscard]] virtual Outcome<IpamResult> add(const AttachmentKey& who, std::span<const Ipv4Prefix> pod_cidrs) = 0;
    // Makes `who` the owner of an address that it uses already, where podlane itself chose the IPAM plugin; otherwise
    // a failure.
    [[nodiscard]] virtual Outcome<void> reserve(const AttachmentKey& who, std::span<const Ipv4Prefix> pod_cidrs,
                                                Ipv4Address ip) = 0;
    // Gives the address back; success also when there is none.
    [[nodiscard]] virtual Outcome<void> remove(const AttachmentKey& who) = 0;
    [[nodiscard]] virtual Outcome<void> check(const AttachmentKey& who) = 0;
    // Attachments of this network that hold an address, as far as the IPAM plugin's store can be read.
    [[nodiscard]] virtual std::vector<AttachmentKey> holders() = 0;
    // STATUS and GC of the plugin, where it speaks 1.1.0; else success.
    [[nodiscard]] virtual Outcome<void> status() = 0;
    [[nodiscard]] virtual Outcome<void> collect_garbage() = 0;
};

// An IPAM plugin found on CNI_PATH and run as the specification's section 4 says: our environment, our configuration
// with the newest version that both sides speak. Its errors are passed on, with its name before the message.
class PluginIpam final : public Ipam {
public:
    // Both must outlive this object.
    PluginIpam(const Invocation& invocation, const NetworkConfig& config) : invocation_(invocation), config_(config) {}

    [[nodiscard]] Outcome<IpamResult> add(const AttachmentKey& who, std::span<const Ipv4Prefix> pod_cidrs) override;
    [[nodiscard]] Outcome<void> reserve(const AttachmentKey& who, std::span<const Ipv4Prefix> pod_cidrs,
                                        Ipv4Address ip) override;
    [[nodiscard]] Outcome<void> remove(const AttachmentKey& who) override;
    [[nodiscard]] Outcome<void> check(const AttachmentKey& who) override;
    [[nodiscard]] std::vector<AttachmentKey> holders() override;
    [[nodiscard]] Outcome<void> status() override;
    [[nodiscard]] Outcome<void> collect_garbage() override;

private:
    struct Program {
        std::string path;
        Version version;  // to talk to it
    };
    [[nodiscard]] Outcome<Program> find();
    [[nodiscard]] Outcome<Version> negotiate(const std::string& path) const;
    [[nodiscard]] Outcome<std::string> execute(const Environment& environment, std::span<const Ipv4Prefix> pod_cidrs);
    [[nodiscard]] Environment environment_for(const char* command, const AttachmentKey& who) const;
    [[nodiscard]] Outcome<void> run_if_spoken(const char* command);

    const Invocation& invocation_;
    const NetworkConfig& config_;
    std::optional<Program> program_;
};

// For a macvlan without an IPAM plugin, and for an interface whose address another plugin of the chain handed out.
class NoIpam final : public Ipam {
public:
    // An unspecified address.
    [[nodiscard]] Outcome<IpamResult> add(const AttachmentKey&, std::span<const Ipv4Prefix>) override {
        return IpamResult();
    }
    [[nodiscard]] Outcome<void> reserve(const AttachmentKey&, std::span<const Ipv4Prefix>, Ipv4Address) override {
        return {};
    }
    [[nodiscard]] Outcome<void> remove(const AttachmentKey&) override { return {}; }
    [[nodiscard]] Outcome<void> check(const AttachmentKey&) override { return {}; }
    [[nodiscard]] std::vector<AttachmentKey> holders() override { return {}; }
    [[nodiscard]] Outcome<void> status() override { return {}; }
    [[nodiscard]] Outcome<void> collect_garbage() override { return {}; }
};

// The `ipam` section in use: the user's, in which host-local without ranges gets `pod_cidrs`; or host-local over
// `pod_cidrs` with its store under runDir, which a reboot empties along with the pods, and which keeps agents that
// share a machine apart. host-local gives addresses back by container ID and only demands that ranges parse: without
// any (DEL, when no agent may be there to ask) a range of RFC 5737 stands in.
[[nodiscard]] nlohmann::json ipam_section(const NetworkConfig& config, std::span<const Ipv4Prefix> pod_cidrs);
// The whole configuration for an IPAM plugin that speaks `version`.
[[nodiscard]] nlohmann::json ipam_config(const NetworkConfig& config, std::span<const Ipv4Prefix> pod_cidrs,
                                         Version version);
// A failure in the plugin's own words. `output` is what it printed on standard output.
[[nodiscard]] Failure ipam_failure(std::string_view plugin, int exit_status, std::string_view output);

}  // namespace podlane::cni
