// SPDX-License-Identifier: Apache-2.0
// `agentctl migrate`: node f goes from flannel to podlane, and back, while its pods talk. Its devices are the kernel's
// own, made as flannel and the real bridge plugin make them; rules by iptables.
//
//   pod a --- node 1 (podlane, 192.168.0.1) ==+ VXLAN +== node f (192.168.0.3) - flannel.1 --- cni0 +--- web
//   10.244.1.x                                |       |                          podlane0           +--- db
//   pod b --- node 2 (podlane, 192.168.0.2) ==+       +                          10.244.3.0/24      +--- odd
//   10.244.2.x
#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <iostream>

#include <gmock/gmock.h>

#include "test/net/migrate_scene.h"

namespace podlane::net {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class MigrateTest : public FlannelNodeScene {};

// Traffic of pods on the node throughout: each way a TCP connection, and numbered datagrams.
class Traffic {
public:
    Traffic(const Endpoint& outside, const Endpoint& inside)
        : tcp_in_(outside, inside), tcp_out_(inside, outside), udp_in_(outside, inside), udp_out_(inside, outside) {}
    // Bytes have come on both connections since; ends a phase.
    void expect_progress(const std::string& phase) {
        const auto in = tcp_in_.received();
        const auto out = tcp_out_.received();
        EXPECT_TRUE(wait_until([&] { return tcp_in_.received() > in + 1'000'000; }, 20s)) << phase;
        EXPECT_TRUE(wait_until([&] { return tcp_out_.received() > out + 1'000'000; }, 20s)) << phase;
        phases_.push_back({phase, udp_in_.sent(), udp_out_.sent()});
    }
    // Datagrams that got no echo, and tells in which phase.
    [[nodiscard]] std::size_t stop() {
        EXPECT_EQ(tcp_in_.stop(), "");
        EXPECT_EQ(tcp_out_.stop(), "");
        const auto in = udp_in_.stop();
        const auto out = udp_out_.stop();
        std::cout << fmt::format("inward: {} sent, {} arrived, {} echoed; outward: {} sent, {} arrived, {} echoed\n",
                                 in.sent, in.at_server, in.echoed, out.sent, out.at_server, out.echoed);
        Phase begun{};
        for (const auto& phase : phases_) {
            const auto lost = [](const UdpStream::Totals& totals, std::size_t from, std::size_t to) {
                return std::ranges::count_if(totals.lost, [&](auto number) { return number >= from && number < to; });
            };
            std::cout << fmt::format("  until {}: {} of {} lost inward, {} of {} outward\n", phase.name,
                                     lost(in, begun.in, phase.in), phase.in - begun.in, lost(out, begun.out, phase.out),
                                     phase.out - begun.out);
            begun = phase;
        }
        return in.lost.size() + out.lost.size();
    }

private:
    // Datagrams sent when it ended.
    struct Phase {
        std::string name;
        std::size_t in;
        std::size_t out;
    };

    TcpStream tcp_in_;
    TcpStream tcp_out_;
    UdpStream udp_in_;
    UdpStream udp_out_;
    std::vector<Phase> phases_;
};

// Of some thousand, both directions together. What is lost is lost in queues that the bulk has filled, on a machine
// that is not idle.
constexpr std::size_t bearable_loss = 50;

TEST_F(MigrateTest, NodeGoesToPodlaneAndBack_AndItsPodsGoOnTalking) {
    const auto before = snapshot();
    Traffic web(a_->endpoint(), web_.endpoint());
    Traffic db(b_->endpoint(), db_.endpoint());
    web.expect_progress("before");
    db.expect_progress("before");

    start_agent();
    web.expect_progress("with the agent");
    const auto plan = Json::parse(migrate("plan", {"-o", "json"}).out);
    std::map<std::string, std::string> actions;
    for (const auto& pod : plan.at("pods")) {
        actions[pod.at("interface")] = pod.at("action");
    }
    EXPECT_EQ(actions,
              (std::map<std::string, std::string>{{web_.port, "adopt"}, {db_.port, "adopt"}, {odd_.port, "restart"}}));
    EXPECT_EQ(migrate("verify").status, 5);
    EXPECT_EQ(migrate("commit").status, 5);
    EXPECT_TRUE(has_device("flannel.1"));

    const auto applied = migrate("apply");
    expect_ok(applied, fmt::format("adopted pod shop/f-web {} on {}", web_.address, web_.port));
    EXPECT_THAT(applied.out, HasSubstr(fmt::format("left the pod on {}", odd_.port)));
    EXPECT_THAT(migrate("apply").out, AllOf(Not(HasSubstr("adopted")), HasSubstr("applied")));
    web.expect_progress("applied");
    db.expect_progress("applied");
    EXPECT_THAT(datagram_flows_of_the_stack(), testing::IsEmpty()) << "they lose datagrams when the device goes";
    expect_ok(migrate("verify"), "as flannel has it");

    const auto committed = migrate("commit");
    expect_ok(committed, "deleted flannel.1");
    EXPECT_THAT(committed.out,
                AllOf(HasSubstr("left cni0: 3 pods are on it"), HasSubstr("left flannel's rules: 1 pods")));
    EXPECT_FALSE(has_device("flannel.1"));
    EXPECT_EQ(mac_of({node_->ns(), overlay_device}), flannel_mac);
    EXPECT_THAT(saved_rules(), HasSubstr("FLANNEL"));
    node_->wait_ready();
    expect_ok(migrate("verify"), "1 pods on cni0 need until they are restarted");
    expect_ok(migrate("commit"), "committed");
    web.expect_progress("committed");
    db.expect_progress("committed");
    expect_ping(a_->ns(), odd_.address);

    EXPECT_EQ(migrate("rollback").status, 1) << "an agent runs";
    EXPECT_EQ(node_->stop_agent(), 0);
    const auto back = migrate("rollback");
    expect_ok(back, "remains: nothing");
    EXPECT_THAT(back.out, testing::ContainsRegex("forgot [0-9]+ connections that conntrack"));
    web.expect_progress("rolled back");
    db.expect_progress("rolled back");
    EXPECT_LT(web.stop(), bearable_loss);
    EXPECT_LT(db.stop(), bearable_loss);
    expect_as(before);
    EXPECT_FALSE(std::filesystem::exists(record()));
    EXPECT_FALSE(std::filesystem::exists(root() / "etc/cni/net.d/05-podlane.conflist"));
    EXPECT_FALSE(std::filesystem::exists(node_->run_dir() / "endpoints" / (web_.id() + "-eth0.json")));
    expect_ok(migrate("rollback"), "remains: nothing");
    expect_as(before);
    expect_ping(a_->ns(), odd_.address);
}

// One step is undone as well as all.
TEST_F(MigrateTest, RollbackBeforeTheCommit_LeavesTheNodeAsItWas) {
    const auto before = snapshot();
    start_agent();
    expect_ok(migrate("apply"), "applied");
    EXPECT_EQ(read_record().at("silentPeers"), Json::array());
    const auto adopted = read_record().at("adopted");
    EXPECT_EQ(adopted.size(), 2U);
    std::filesystem::rename(record(), root() / "moved-away");
    expect_ok(migrate("apply"), "wrote");
    EXPECT_EQ(read_record().at("adopted"), adopted) << "a rollback has to know them";
    EXPECT_EQ(node_->stop_agent(), 0);
    expect_ok(migrate("rollback"), "remains: nothing");
    expect_as(before);
    expect_ping(a_->ns(), web_.address);
}

TEST_F(MigrateTest, StepBesideAnotherOne_IsRefusedAndChangesNothing) {
    start_agent();
    expect_ok(migrate("apply"), "applied");
    const auto before = snapshot();
    const auto expect_refused = [&](const std::string& step) {
        const auto refused = migrate(step);
        EXPECT_EQ(refused.status, 1) << refused.describe();
        EXPECT_THAT(refused.err, HasSubstr("another agentctl migrate changes this node")) << step;
    };
    {
        const Fd other(::open(node_->run_dir().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        ASSERT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
        expect_refused("apply");
        expect_refused("commit");
        expect_refused("rollback");
        EXPECT_EQ(migrate("plan").status, 0);
        EXPECT_EQ(migrate("verify").status, 0);
    }
    expect_as(before);
    expect_ok(migrate("apply"), "applied");
}

// A peer that leaves between apply and commit is not brought back.
TEST_F(MigrateTest, RollbackBehindTheRules_PutsBackWhatWasThereAtTheCommit) {
    const auto gone = Cluster::pod_cidr(2);
    ip(node_->ns(), fmt::format("route del {} dev flannel.1", gone));
    const auto before = snapshot();
    ip(node_->ns(), fmt::format("route add {} via {} dev flannel.1 onlink", gone, gone.address()));
    std::filesystem::rename(lost_result(), result_of(odd_));
    start_agent();
    expect_ok(migrate("apply"), "applied");
    EXPECT_EQ(read_record().at("network").at("routes").size(), 2U);
    ip(node_->ns(), fmt::format("route del {} dev flannel.1", gone));
    const auto time = read_record().at("time");
    const auto committed = migrate("commit");
    expect_ok(committed, "removed rule");
    EXPECT_THAT(committed.out, HasSubstr("up to date"));
    EXPECT_THAT(saved_rules(), AllOf(Not(HasSubstr("FLANNEL")), HasSubstr("172.17.0.0/16")));
    expect_ok(migrate("verify"), "none of flannel's");
    EXPECT_EQ(read_record().at("network").at("routes").size(), 1U);
    EXPECT_EQ(read_record().at("adopted").size(), 3U);
    EXPECT_EQ(read_record().at("time"), time);
    EXPECT_EQ(node_->stop_agent(), 0);
    expect_ok(migrate("rollback"), "remains: nothing");
    expect_as(before);
    expect_ping(a_->ns(), odd_.address);
}

//   odd --- cni0 --- node f --- underlay +--- outside (192.168.0.200), which has no route to pods
//                                        +--- node 1
// What a pod of the bridge sends leaves by flannel's rules alone, as long as it is not the agent's.
TEST_F(MigrateTest, PodThatIsNotAdopted_ReachesTheOutsideUntilItGoes_AndRulesAndBridgeGoWithIt) {
    const Namespace outside("outside");
    const auto outside_address = Ipv4Address::from_host(0xc0a800c8);
    cluster_->underlay().join(outside, "outside", outside_address);
    detach(web_);
    detach(db_);
    const auto expect_translated = [&](const std::string& when) {
        for (const auto& server : {Endpoint{&outside, outside_address, {}},
                                   Endpoint{&cluster_->node(1).ns(), Cluster::node_address(1), {}}}) {
            const auto outcome = exchange_tcp(odd_.endpoint(), server, 100'000);
            EXPECT_EQ(outcome.problem, "") << when << ", " << server.address.to_string();
            EXPECT_EQ(outcome.client_seen_as, node_address) << when << ", " << server.address.to_string();
        }
    };
    expect_translated("before");
    start_agent();
    expect_ok(migrate("apply"), "applied");
    expect_translated("applied");
    const auto committed = migrate("commit");
    expect_ok(committed, "left flannel's rules: 1 pods on cni0 need them");
    EXPECT_THAT(committed.out, AllOf(HasSubstr("deleted flannel.1"), HasSubstr("left cni0: 1 pods are on it")));
    expect_translated("committed");
    expect_ok(migrate("verify"), "1 pods on cni0 need until they are restarted");

    detach(odd_);
    const auto again = migrate("commit");
    expect_ok(again, "removed rule");
    EXPECT_THAT(again.out, HasSubstr("deleted cni0"));
    EXPECT_FALSE(has_device("cni0"));
    EXPECT_THAT(saved_rules(), Not(HasSubstr("FLANNEL")));
    expect_ok(migrate("verify"), "none of flannel's");
    expect_ok(migrate("commit"), "committed");
}

// It has an address that flannel would not have given it: somebody uses it for something else.
TEST_F(MigrateTest, EmptyBridgeWithAForeignAddress_StaysAtTheCommit) {
    ip(node_->ns(), "address add 192.168.122.1/24 dev cni0");
    for (const auto* pod : {&web_, &db_, &odd_}) {
        detach(*pod);
    }
    start_agent();
    expect_ok(migrate("apply"), "applied");
    expect_ok(migrate("commit"), "left cni0: its address 192.168.122.1");
    EXPECT_TRUE(has_device("cni0"));
    EXPECT_THAT(saved_rules(), Not(HasSubstr("FLANNEL")));
}

// Then its socket is free, and the agent makes its own device beside it.
TEST_F(MigrateTest, FlannelsDeviceThatGoesDown_IsReplacedAndDeletedByTheCommit) {
    const auto before = snapshot();
    start_agent();
    expect_ok(migrate("apply"), "applied");
    ip(node_->ns(), "link set flannel.1 down");
    ASSERT_TRUE(wait_until([this] { return has_device(overlay_device); }, 10s));
    node_->wait_ready();
    expect_ping(a_->ns(), web_.address);
    EXPECT_TRUE(has_device("flannel.1"));
    EXPECT_THAT(migrate("plan").out, HasSubstr("flannel.1 is down, podlane0 is there"));
    const auto undone = migrate("verify");
    EXPECT_EQ(undone.status, 5);
    EXPECT_THAT(undone.out, HasSubstr("it is still there"));
    expect_ok(migrate("commit"), "deleted flannel.1");
    EXPECT_FALSE(has_device("flannel.1"));
    expect_ok(migrate("verify"), "");
    expect_ping(a_->ns(), web_.address);
    EXPECT_EQ(node_->stop_agent(), 0);
    expect_ok(migrate("rollback"), "remains: nothing");
    expect_as(before);
    expect_ping(a_->ns(), web_.address);
}

TEST_F(MigrateTest, PodAttachedMeanwhile_GetsAnotherAddressAndIsNamedByRollback) {
    start_agent();
    apply_and_commit();
    const Container fresh("fresh");
    CniRuntime runtime(*node_, "1.0.0");
    runtime.config["name"] = "cbr0";
    runtime.config["ipam"] = store();
    const auto added = runtime.add(fresh);
    const auto text = added.at("ips").at(0).at("address").get<std::string>();
    const auto address = Ipv4Address::parse(text.substr(0, text.find('/'))).value();
    for (const auto* pod : {&web_, &db_, &odd_}) {
        EXPECT_NE(pod->address, address);
    }
    expect_ping(a_->ns(), address);
    expect_ping(fresh.ns, web_.address);
    expect_ping(*web_.endpoint().ns, address);
    expect_ok(migrate("verify"), "");
    EXPECT_EQ(node_->stop_agent(), 0);
    const auto back = migrate("rollback");
    expect_ok(back, fmt::format("restart pod default/{} ({})", fresh.id, address));
    EXPECT_THAT(back.out, HasSubstr(fmt::format("rm {}/var/lib/cni/networks/cbr0/{}", root().string(), address)));
}

// Another VXLAN device of the host's shares flannel.1's socket, and podlane's cannot.
TEST_F(MigrateTest, CommitWithSomethingInTheWay_ChangesNothing) {
    start_agent();
    expect_ok(migrate("apply"), "applied");
    ip(node_->ns(), "link add other type vxlan id 99 dstport 8472 dev eth0");
    ip(node_->ns(), "link set other up");
    const auto refused = migrate("commit");
    EXPECT_EQ(refused.status, 5) << refused.describe();
    EXPECT_THAT(refused.out, HasSubstr("other has port 8472 as well"));
    EXPECT_TRUE(has_device("flannel.1"));
    ip(node_->ns(), "link del other");
    expect_ok(migrate("commit"), "committed");
}

// Somebody's device has the name of podlane's, which only shows when that is to be made.
TEST_F(MigrateTest, CommitThatDoesNotGoWell_KeepsTheRulesAndCanBeUndone) {
    const auto before = snapshot();
    start_agent();
    expect_ok(migrate("apply"), "applied");
    ip(node_->ns(), fmt::format("link add {} type bridge", overlay_device));
    const auto committed = migrate("commit", {"--timeout", "1s"});
    EXPECT_EQ(committed.status, 5) << committed.describe();
    EXPECT_THAT(committed.out, AllOf(HasSubstr("deleted flannel.1"), Not(HasSubstr("removed rule"))));
    EXPECT_THAT(committed.err, HasSubstr("agentctl migrate rollback"));
    EXPECT_THAT(saved_rules(), HasSubstr("FLANNEL"));
    EXPECT_EQ(migrate("verify").status, 5);
    expect_ping(a_->ns(), web_.address);
    EXPECT_EQ(node_->stop_agent(), 0);
    expect_ok(migrate("rollback"), "remains: nothing");
    ip(node_->ns(), fmt::format("link del {}", overlay_device));
    expect_as(before);
    expect_ping(a_->ns(), web_.address);
}

TEST_F(MigrateTest, WithoutAnAgent_NothingIsChanged) {
    const auto before = snapshot();
    for (const auto* step : {"plan", "apply", "verify", "commit"}) {
        const auto refused = migrate(step);
        EXPECT_EQ(refused.status, 5) << refused.describe();
        EXPECT_THAT(refused.out, HasSubstr("no agent answers")) << step;
    }
    expect_as(before);
    EXPECT_FALSE(std::filesystem::exists(record()));
}

}  // namespace
}  // namespace podlane::net
