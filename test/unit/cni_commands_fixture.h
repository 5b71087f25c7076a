// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include <gtest/gtest.h>

#include "agent/cni/commands.h"

namespace podlane::cni {

using nlohmann::json;

// What the three ports share: the journal, and which call fails.
struct Script {
    std::vector<std::string> journal;
    std::map<std::string, int> failing;  // "link create" -> errno

    Result<void> step(const std::string& call, const std::string& argument = {}) {
        journal.push_back(argument.empty() ? call : call + " " + argument);
        const auto found = failing.find(call);
        return found == failing.end() ? Result<void>() : fail_errno(found->second, "{}", call);
    }
    Outcome<void> outcome(const std::string& call, const std::string& argument = {}) {
        const auto done = step(call, argument);
        return done ? Outcome<void>() : refuse_because(Code::try_again_later, done.error());
    }
};

class ScriptedLinks final : public Links {
public:
    explicit ScriptedLinks(Script& script) : script_(script) {}
    Result<bool> exists(const std::string&, const std::string&) override {
        const auto done = script_.step("link exists");
        return done ? Result<bool>(present) : std::unexpected(done.error());
    }
    Result<void> prepare(const Attachment& attachment) override {
        prepared = attachment;
        return script_.step("link prepare");
    }
    Result<void> create(const Attachment& attachment) override {
        created = attachment;
        return script_.step("link create");
    }
    Result<void> remove(const Endpoint& endpoint) override { return script_.step("link remove", endpoint.id()); }
    Result<std::vector<std::string>> differences(const Attachment& expected) override {
        compared = expected;
        return found_differences;
    }
    Outcome<Master> master(const std::string& name) override {
        const auto done = script_.outcome("link master", name);
        return done ? Outcome<Master>(Master{"em2", *MacAddress::parse("02:00:00:00:00:e2"), 1500})
                    : std::unexpected(done.error());
    }
    Result<std::vector<Ipv4Prefix>> ways_of_others(const std::string&, const std::string&) override { return others; }
    Outcome<AdoptableLink> adoptable(const std::string&, const std::string&) override {
        const auto done = script_.outcome("link adoptable");
        return done ? Outcome<AdoptableLink>(theirs) : std::unexpected(done.error());
    }
    Result<void> add_routes(const Attachment& attachment) override {
        created = attachment;
        return script_.step("link add routes");
    }
    Result<void> remove_routes(const Attachment&) override { return script_.step("link remove routes"); }

    AdoptableLink theirs{"em2", "bridge", *MacAddress::parse("02:00:00:00:00:77"), 1500};
    Attachment compared;
    bool present = false;
    std::vector<Ipv4Prefix> others;
    Attachment prepared;
    Attachment created;
    std::vector<std::string> found_differences;

private:
    Script& script_;
};

class ScriptedIpam final : public Ipam {
public:
    explicit ScriptedIpam(Script& script) : script_(script) {}
    Outcome<IpamResult> add(const AttachmentKey& who, std::span<const Ipv4Prefix>) override {
        auto result = next;
        next.ip = Ipv4Address::from_host(next.ip.host() + 1);
        const auto done = script_.outcome("ipam add", who.container_id);
        return done ? Outcome<IpamResult>(result) : std::unexpected(done.error());
    }
    Outcome<void> reserve(const AttachmentKey& who, std::span<const Ipv4Prefix>, Ipv4Address ip) override {
        return script_.outcome("ipam reserve", fmt::format("{} {}", who.container_id, ip));
    }
    Outcome<void> remove(const AttachmentKey& who) override { return script_.outcome("ipam remove", who.container_id); }
    Outcome<void> check(const AttachmentKey& who) override { return script_.outcome("ipam check", who.container_id); }
    std::vector<AttachmentKey> holders() override { return listed; }
    Outcome<void> status() override { return answer.code == 0 ? Outcome<void>() : std::unexpected(answer); }
    Outcome<void> collect_garbage() override { return script_.outcome("ipam gc"); }

    IpamResult next{*Ipv4Address::parse("10.244.1.2"), Ipv4Address::parse("10.244.1.1").value(), {}, {}};
    std::vector<AttachmentKey> listed;
    Failure answer;

private:
    Script& script_;
};

class ScriptedAgent final : public Agent {
public:
    explicit ScriptedAgent(Script& script) : script_(script) {}
    Outcome<NodeNetwork> network() override {
        const auto done = script_.outcome("agent network");
        return done ? Outcome<NodeNetwork>(NodeNetwork{{*Ipv4Prefix::parse("10.244.1.0/24")}, 1450, macvlans})
                    : std::unexpected(done.error());
    }
    Outcome<std::optional<Endpoint>> endpoint(const std::string&) override {
        const auto done = script_.outcome("agent endpoint");
        return done ? Outcome<std::optional<Endpoint>>(known) : std::unexpected(done.error());
    }
    Outcome<std::vector<Endpoint>> endpoints() override { return recorded; }
    Outcome<void> add_endpoint(const Endpoint& endpoint) override {
        return script_.outcome("agent add", endpoint.id());
    }
    Outcome<void> remove_endpoint(const std::string& id) override { return script_.outcome("agent remove", id); }

    std::vector<MacvlanNetwork> macvlans;
    std::vector<Endpoint> recorded;
    std::optional<Endpoint> known;

private:
    Script& script_;
};

class CniCommandsTest : public testing::Test {
protected:
    CniCommandsTest() {
        invocation_.container_id = "c1";
        invocation_.if_name = "eth0";
        invocation_.netns = "/run/netns/a";
        invocation_.args = {{"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", "web"}, {"K8S_POD_UID", "u1"}};
        config_.version = version_1_1_0;
        config_.name = "podlane";
    }
    Outcome<json> run_add() { return add(invocation_, config_, ports_); }

    static Endpoint endpoint_of(const char* container_id, const char* network, const char* ip) {
        Endpoint endpoint;
        endpoint.container_id = container_id;
        endpoint.if_name = "eth0";
        endpoint.network = network;
        endpoint.ip = *Ipv4Address::parse(ip);
        return endpoint;
    }

    Script script_;
    ScriptedLinks links_{script_};
    ScriptedIpam ipam_{script_};
    ScriptedAgent agent_{script_};
    Ports ports_{links_, ipam_, agent_};
    Invocation invocation_;
    NetworkConfig config_;
};

}  // namespace podlane::cni
