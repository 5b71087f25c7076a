// SPDX-License-Identifier: Apache-2.0
// Sources, in the test's thread, and a real etcd:
//
//   +--- namespace ------------------------------------------------+
//   |  EtcdSource n1 (192.168.0.1) ---+--- 127.0.0.1 --- etcd      |
//   |  EtcdSource n2 (192.168.0.2) ---+                            |
//   +--------------------------------------------------------------+
#include "agent/source/etcd/etcd_source.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/link/host_network.h"
#include "test/net/harness/etcd.h"

namespace podlane::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

const std::string config_key = "/coreos.com/network/config";
const std::string subnets = "/coreos.com/network/subnets/";
const std::string some_network = R"({"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}})";

std::string value_of(const std::string& public_ip) {
    return fmt::format(R"({{"PublicIP":"{}","PublicIPv6":null,"BackendType":"vxlan",)"
                       R"("BackendData":{{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}}})",
                       public_ip);
}

class EtcdSourceTest : public testing::Test {
protected:
    template <typename Function>
    void in_test(const Function& function) {
        in_namespace(ns_, [&] {
            loop_ = EventLoop::create().value();
            function();
            sources_.clear();
            etcd_.reset();
            loop_.reset();
            return 0;
        });
    }
    void serve(const EtcdTls& tls = {}) {
        etcd_ = std::make_unique<Etcd>(ns_, "127.0.0.1", tls);
        etcd_->put(config_key, some_network);
    }
    // Node n<number>, 192.168.0.<number>.
    EtcdSource& start(unsigned number, seconds lease = seconds(86400)) {
        auto access = access_;
        if (access.endpoints.empty()) {
            access.endpoints = {etcd_->url()};
        }
        addresses_[number] = Ipv4Address::from_host(0xc0a80000U + number);
        auto source = EtcdSource::create(
            *loop_, {.access = access,
                     .prefix = "/coreos.com/network",
                     .node_name = fmt::format("n{}", number),
                     .cache_file = (files_.path() / fmt::format("cache-{}", number)).string(),
                     .cluster_cidrs = {Ipv4Prefix::parse("10.5.0.0/16").value()},
                     .lease_ttl = lease,
                     .own_address = [this, number]() -> Result<Ipv4Address> { return addresses_.at(number); },
                     .vtep_mac = &vtep_mac});
        auto& started = sources_[number] = std::move(source.value());
        EXPECT_TRUE(started->start().has_value());
        return *started;
    }
    milliseconds wait_until(const std::function<bool()>& condition, seconds longest = seconds(10)) {
        const auto began = std::chrono::steady_clock::now();
        bool held = false;
        auto poll = loop_->every(milliseconds(5), [&] {
            held = condition();
            if (held || std::chrono::steady_clock::now() - began > longest) {
                loop_->stop();
            }
        });
        EXPECT_TRUE(loop_->run().has_value());
        EXPECT_TRUE(held) << describe();
        return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began);
    }
    void run_for(milliseconds time) {
        auto timer = loop_->after(time, [this] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
    }
    [[nodiscard]] std::string describe() const {
        std::string text;
        for (const auto& [number, source] : sources_) {
            text += fmt::format("n{}: {}\n", number, source->health().problem);
            for (const auto& [name, node] : source->objects().nodes) {
                text += fmt::format("  {} {}\n", name, fmt::join(node.pod_cidrs, ","));
            }
        }
        return text;
    }
    [[nodiscard]] static bool good(const EtcdSource& source) {
        return source.health().in_sync && source.health().problem.empty();
    }
    [[nodiscard]] static std::string own_subnet(const EtcdSource& source, unsigned number) {
        const auto self = source.objects().nodes.find(fmt::format("n{}", number));
        return self == source.objects().nodes.end() ? "" : self->second.pod_cidrs.at(0);
    }
    [[nodiscard]] static std::string key_of(std::string subnet) {
        return subnets + subnet.replace(subnet.find('/'), 1, "-");
    }
    [[nodiscard]] bool know_each_other() const {
        return knows(*sources_.at(1), "192.168.0.2") && knows(*sources_.at(2), "192.168.0.1");
    }
    [[nodiscard]] static bool knows(const EtcdSource& source, const std::string& name) {
        return source.objects().nodes.contains(name);
    }

    Namespace ns_{"etcd"};
    TempDir files_{"etcdsource"};
    etcd::Access access_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<Etcd> etcd_;
    std::map<unsigned, Ipv4Address> addresses_;
    std::map<unsigned, std::unique_ptr<EtcdSource>> sources_;
};

TEST_F(EtcdSourceTest, NewNode_TakesASubnetAsFlannelWouldAndFollowsTheOthers) {
    in_test([&] {
        serve();
        etcd_->put(subnets + "10.5.7.0-24", value_of("192.168.0.9"));
        auto& source = start(1);
        wait_until([&] { return good(source); });
        const auto key = key_of(own_subnet(source, 1));
        const auto found = etcd_->get(key);
        EXPECT_EQ(found.value, R"({"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"vxlan",)"
                               R"("BackendData":{"VNI":1,"VtepMAC":"02:50:c0:a8:00:01"}})");
        EXPECT_EQ(etcd_->post("/v3/lease/timetolive", {{"ID", std::to_string(found.lease)}})["grantedTTL"], "86400");
        EXPECT_THAT(source.objects().nodes, SizeIs(2));

        // Changes and removals arrive, and what cannot be read is said.
        etcd_->put(subnets + "10.5.8.0-24", value_of("192.168.0.10"));
        EXPECT_LT(wait_until([&] { return knows(source, "192.168.0.10"); }), seconds(1));
        etcd_->put(subnets + "10.5.8.0-24", value_of("192.168.0.11"));
        EXPECT_LT(wait_until([&] { return knows(source, "192.168.0.11"); }), seconds(1));
        EXPECT_FALSE(knows(source, "192.168.0.10"));
        etcd_->remove(subnets + "10.5.7.0-24");
        EXPECT_LT(wait_until([&] { return !knows(source, "192.168.0.9"); }), seconds(1));
        etcd_->put(subnets + "10.5.9.0-24", "nonsense");
        wait_until([&] { return !source.health().warnings.empty(); });
        EXPECT_EQ(source.health().warnings.at(0).object, "etcd key " + subnets + "10.5.9.0-24");
        EXPECT_TRUE(good(source));

        // The same node anew: its subnet, its lease, no write.
        sources_.clear();
        const auto revision = etcd_->revision();
        auto& again = start(1);
        wait_until([&] { return good(again); });
        run_for(milliseconds(200));
        EXPECT_EQ(key_of(own_subnet(again, 1)), key);
        EXPECT_EQ(etcd_->get(key).lease, found.lease);
        EXPECT_EQ(etcd_->revision(), revision);
    });
}

TEST_F(EtcdSourceTest, NodesThatClaimAtOnceAndSubnetsAreShort_ShareThemOut) {
    in_test([&] {
        serve();
        etcd_->put(config_key, R"({"Network":"10.5.0.0/16","SubnetMin":"10.5.1.0","SubnetMax":"10.5.3.0"})");
        for (unsigned number = 1; number <= 4; ++number) {
            start(number);
        }
        std::string left_over;
        wait_until([&] {
            std::size_t served = 0;
            for (const auto& [number, source] : sources_) {
                served += good(*source) ? 1 : 0;
                left_over = good(*source) ? left_over : source->health().problem;
            }
            return served == 3 && left_over.find("no subnet is free") != std::string::npos;
        });
        EXPECT_THAT(etcd_->keys(subnets),
                    ElementsAre(subnets + "10.5.1.0-24", subnets + "10.5.2.0-24", subnets + "10.5.3.0-24"));
        std::set<std::string> taken;
        for (const auto& [number, source] : sources_) {
            if (good(*source)) {
                taken.insert(own_subnet(*source, number));
                EXPECT_THAT(etcd_->get(key_of(own_subnet(*source, number))).value,
                            HasSubstr(fmt::format("192.168.0.{}\"", number)));
            }
        }
        EXPECT_THAT(taken, SizeIs(3));
    });
}

TEST_F(EtcdSourceTest, ShortLease_IsKeptAliveAndALostOneIsTakenAgain) {
    in_test([&] {
        serve();
        auto& source = start(1, seconds(2));
        wait_until([&] { return good(source); });
        const auto subnet = own_subnet(source, 1);
        const auto lease = etcd_->get(key_of(subnet)).lease;
        run_for(milliseconds(2700));
        EXPECT_EQ(etcd_->get(key_of(subnet)).lease, lease);

        static_cast<void>(etcd_->post("/v3/lease/revoke", {{"ID", std::to_string(lease)}}));
        wait_until([&] { return etcd_->get(key_of(subnet)).lease > 0; });
        EXPECT_NE(etcd_->get(key_of(subnet)).lease, lease);
        EXPECT_EQ(own_subnet(source, 1), subnet);
        EXPECT_TRUE(good(source)) << describe();
    });
}

TEST_F(EtcdSourceTest, SubnetThatAnotherNodeHasByNow_IsReplacedByAFreeOne) {
    in_test([&] {
        serve();
        auto& source = start(1);
        wait_until([&] { return good(source); });
        const auto subnet = own_subnet(source, 1);
        etcd_->put(key_of(subnet), value_of("192.168.0.9"));
        wait_until([&] { return own_subnet(source, 1) != subnet && knows(source, "192.168.0.9"); });
        EXPECT_THAT(etcd_->get(key_of(own_subnet(source, 1))).value, HasSubstr("192.168.0.1\""));
        EXPECT_EQ(source.objects().nodes.at("192.168.0.9").pod_cidrs.at(0), subnet);
    });
}

TEST_F(EtcdSourceTest, NodeWhosePublicIpChanges_KeepsItsSubnet) {
    in_test([&] {
        serve();
        auto& source = start(1);
        wait_until([&] { return good(source); });
        const auto subnet = own_subnet(source, 1);
        const auto lease = etcd_->get(key_of(subnet)).lease;
        addresses_[1] = Ipv4Address::parse("192.168.0.77").value();
        source.on_change([&] { EXPECT_THAT(source.objects().nodes, SizeIs(1)) << describe(); });
        source.reload();
        wait_until([&] { return etcd_->get(key_of(subnet)).value.find("192.168.0.77") != std::string::npos; });
        run_for(milliseconds(200));
        EXPECT_EQ(own_subnet(source, 1), subnet);
        EXPECT_EQ(etcd_->get(key_of(subnet)).lease, lease);
        EXPECT_THAT(etcd_->keys(subnets), SizeIs(1));
    });
}

TEST_F(EtcdSourceTest, Reservation_IsThisNodesAndStaysOne) {
    in_test([&] {
        serve();
        etcd_->put(subnets + "10.5.20.0-24", R"({"PublicIP":"192.168.0.1"})");
        etcd_->put(subnets + "10.5.21.0-24", R"({"PublicIP":"192.168.0.9"})");
        auto& source = start(1);
        wait_until([&] { return good(source); });
        EXPECT_EQ(own_subnet(source, 1), "10.5.20.0/24");
        wait_until([&] { return etcd_->get(subnets + "10.5.20.0-24").value.find("VtepMAC") != std::string::npos; });
        EXPECT_EQ(etcd_->get(subnets + "10.5.20.0-24").lease, 0);
        EXPECT_THAT(source.objects().nodes, SizeIs(1));
    });
}

TEST_F(EtcdSourceTest, OutageRestartAndCompaction_LoseNothing) {
    in_test([&] {
        serve();
        etcd_->put(subnets + "10.5.7.0-24", value_of("192.168.0.9"));
        auto& source = start(1);
        wait_until([&] { return good(source) && knows(source, "192.168.0.9"); });
        const auto before = source.objects();
        EXPECT_EQ(source.activity().at(0).resource, "subnets");
        EXPECT_EQ(source.activity().at(0).lists, 1U);
        EXPECT_EQ(source.activity().at(0).watches, 1U);
        EXPECT_EQ(source.activity().at(0).failures, 0U);
        etcd_->stop();
        wait_until([&] { return !source.health().problem.empty(); });
        EXPECT_GE(source.activity().at(0).failures, 2U);
        EXPECT_THAT(source.health().problem, HasSubstr("Connection refused"));
        EXPECT_EQ(source.objects(), before);

        // A cold start meanwhile.
        auto& cold = start(1);
        EXPECT_LT(wait_until([&] { return cold.health().in_sync; }), seconds(2));
        EXPECT_EQ(cold.objects(), before);
        EXPECT_THAT(cold.health().problem, HasSubstr("begun with the state of"));

        // What happened while the node did not look is compacted away.
        etcd_->start();
        etcd_->put(subnets + "10.5.8.0-24", value_of("192.168.0.10"));
        etcd_->remove(subnets + "10.5.7.0-24");
        etcd_->put("/elsewhere", "x");
        static_cast<void>(
            etcd_->post("/v3/kv/compaction", {{"revision", std::to_string(etcd_->revision())}, {"physical", true}}));
        wait_until([&] { return good(cold) && knows(cold, "192.168.0.10") && !knows(cold, "192.168.0.9"); });
        EXPECT_EQ(own_subnet(cold, 1), before.nodes.at("n1").pod_cidrs.at(0));
        etcd_->put(subnets + "10.5.11.0-24", value_of("192.168.0.12"));
        EXPECT_LT(wait_until([&] { return knows(cold, "192.168.0.12"); }), seconds(1));
    });
}

TEST_F(EtcdSourceTest, ColdStartWithAnotherListOfMembers_BeginsWithTheSavedState) {
    in_test([&] {
        serve();
        wait_until([&, &source = start(1)] { return good(source); });
        sources_.clear();
        etcd_->stop();
        access_.endpoints = {"http://127.0.0.1:1", etcd_->url()};
        auto& cold = start(1);
        EXPECT_LT(wait_until([&] { return cold.health().in_sync; }), seconds(2));
        EXPECT_THAT(cold.objects().nodes, SizeIs(1));
    });
}

TEST_F(EtcdSourceTest, RevisionThatIsCompactedUnderAWatchThatIsCut_IsListedAgain) {
    in_test([&] {
        serve();
        auto& source = start(1);
        wait_until([&] { return good(source); });
        etcd_->stop();
        etcd_->start();  // the loop does not run: the source has not looked
        etcd_->put(subnets + "10.5.8.0-24", value_of("192.168.0.10"));
        etcd_->put("/elsewhere", "x");
        static_cast<void>(
            etcd_->post("/v3/kv/compaction", {{"revision", std::to_string(etcd_->revision())}, {"physical", true}}));
        wait_until([&] { return good(source) && knows(source, "192.168.0.10"); });
        EXPECT_THAT(source.objects().nodes, SizeIs(2));
    });
}

TEST_F(EtcdSourceTest, EtcdThatLostItsData_IsNotBelievedUntilItHasANetwork) {
    in_test([&] {
        serve();
        etcd_->put(subnets + "10.5.7.0-24", value_of("192.168.0.9"));
        auto& source = start(1);
        wait_until([&] { return good(source) && knows(source, "192.168.0.9"); });
        const auto before = source.objects();
        etcd_->stop();
        etcd_->wipe();
        etcd_->start();
        wait_until([&] { return source.health().problem.find("there is no " + config_key) != std::string::npos; });
        EXPECT_EQ(source.objects(), before);
        etcd_->put(config_key, some_network);
        const auto own = before.nodes.at("n1").pod_cidrs.at(0);
        wait_until([&] { return good(source) && etcd_->get(key_of(own)).lease > 0; });
        EXPECT_EQ(own_subnet(source, 1), own);
        EXPECT_THAT(etcd_->keys(subnets), SizeIs(1));
        // It may be that it has not noticed yet.
        run_for(seconds(5));
        EXPECT_EQ(source.objects(), before);
    });
}

TEST_F(EtcdSourceTest, NetworkThatIsGoneOrOfOthers_LeavesThisNodesLeaseAlive) {
    in_test([&] {
        serve();
        auto& source = start(1, seconds(2));
        wait_until([&] { return good(source); });
        const auto key = key_of(own_subnet(source, 1));
        const auto lease = etcd_->get(key).lease;
        etcd_->remove(config_key);
        run_for(milliseconds(3500));
        EXPECT_EQ(etcd_->get(key).lease, lease);
        etcd_->put(config_key, R"({"Network":"10.6.0.0/16"})");
        run_for(milliseconds(3500));
        EXPECT_EQ(etcd_->get(key).lease, lease);
        EXPECT_THAT(etcd_->keys(subnets), SizeIs(1));
    });
}

// In the end each is back, on its own; that never one of them lacked another is what is looked for.
TEST_F(EtcdSourceTest, NodesThatPutTheirKeysBackAfterALoss_NeverLackEachOther) {
    for (const bool with_config : {true, false}) {
        in_test([&] {
            serve();
            for (unsigned number = 1; number <= 2; ++number) {
                start(number);
            }
            wait_until([&] { return good(*sources_[1]) && good(*sources_[2]) && know_each_other(); });
            const auto own = own_subnet(*sources_[1], 1);
            std::size_t lacks = 0;
            for (const auto& [number, source] : sources_) {
                source->on_change([&] { lacks += know_each_other() ? 0 : 1; });
            }
            etcd_->stop();
            run_for(milliseconds(500));
            etcd_->wipe();
            etcd_->start();
            if (with_config) {
                etcd_->put(config_key, some_network);
            } else {
                run_for(seconds(6));
                etcd_->put(config_key, some_network);
            }
            wait_until([&] { return etcd_->keys(subnets).size() == 2 && good(*sources_[1]) && good(*sources_[2]); },
                       seconds(20));
            run_for(seconds(5));
            EXPECT_EQ(lacks, 0U) << describe();
            EXPECT_EQ(own_subnet(*sources_[1], 1), own);
        });
    }
}

// One of the two is away, and puts nothing back.
TEST_F(EtcdSourceTest, NodeThatLostItsKeyWithAllOthers_StaysForItsTimeToComeBack) {
    in_test([&] {
        serve();
        auto& source = start(1);
        etcd_->put(subnets + "10.5.7.0-24", value_of("192.168.0.9"));
        wait_until([&] { return good(source) && knows(source, "192.168.0.9"); });
        const auto own = key_of(own_subnet(source, 1));
        const auto lease = etcd_->get(own).lease;
        // Partitioned for longer than leases last: the watch tells of the end of all.
        etcd_->remove(subnets + "10.5.7.0-24");
        static_cast<void>(etcd_->post("/v3/lease/revoke", {{"ID", std::to_string(lease)}}));
        wait_until([&] { return etcd_->get(own).lease > 0; });
        run_for(milliseconds(500));
        EXPECT_TRUE(knows(source, "192.168.0.9")) << describe();
    });
}

TEST_F(EtcdSourceTest, RestartBesideAnEtcdThatLostMost_KeepsWhatWasSaved) {
    in_test([&] {
        serve();
        for (unsigned i = 7; i <= 9; ++i) {
            etcd_->put(fmt::format("{}10.5.{}.0-24", subnets, i), value_of(fmt::format("192.168.0.{}", i)));
        }
        auto& source = start(1);
        wait_until([&] { return good(source) && knows(source, "192.168.0.9"); });
        sources_.clear();
        for (unsigned i = 7; i <= 9; ++i) {
            etcd_->remove(fmt::format("{}10.5.{}.0-24", subnets, i));
        }
        auto& again = start(1);
        wait_until([&] { return again.health().problem.find("a list lacks 3 of 4 subnets") != std::string::npos; });
        EXPECT_THAT(again.objects().nodes, SizeIs(4));
        wait_until([&] { return good(again); });
        run_for(milliseconds(500));
        EXPECT_THAT(again.objects().nodes, SizeIs(4)) << describe();
    });
}

TEST_F(EtcdSourceTest, EndpointThatIsAway_IsPassedOver) {
    in_test([&] {
        serve();
        access_.endpoints = {"http://127.0.0.1:1", etcd_->url()};
        auto& source = start(1);
        EXPECT_LT(wait_until([&] { return good(source); }), seconds(2));
    });
}

TEST_F(EtcdSourceTest, ClientCertificates_AreShownAndRefusedOnesAreSaid) {
    const test::TlsAuthority authority;
    const auto server = authority.issue("etcd", "IP:127.0.0.1");
    const auto client = authority.issue("podlane", "DNS:podlane");
    const auto write = [&](const std::string& name, const std::string& text) {
        write_file_atomically(files_.path() / name, text);
        return (files_.path() / name).string();
    };
    in_test([&] {
        serve({.server = &server,
               .client_authority = authority.pem(),
               .client = &client,
               .server_authority = authority.pem()});
        access_ = {.endpoints = {},
                   .ca_file = write("ca.pem", authority.pem()),
                   .cert_file = write("cert.pem", client.certificate_pem()),
                   .key_file = write("key.pem", client.key_pem())};
        auto& source = start(1);
        wait_until([&] { return good(source); });
        EXPECT_THAT(etcd_->keys(subnets), SizeIs(1));

        access_.cert_file.clear();
        access_.key_file.clear();
        auto& without = start(2);
        // TLS 1.3 refuses after the handshake: the first time the connection may be gone before the reason is read.
        wait_until([&] { return without.health().problem.find("certificate") != std::string::npos; });
        EXPECT_FALSE(without.health().in_sync);
    });
}

TEST_F(EtcdSourceTest, NetworkOutsideClusterCidrs_IsSaidAndNothingIsTaken) {
    in_test([&] {
        serve();
        etcd_->put(config_key, R"({"Network":"10.6.0.0/16"})");
        auto& source = start(1);
        wait_until([&] { return !source.health().problem.empty(); });
        EXPECT_THAT(source.health().problem, HasSubstr("10.6.0.0/16 is not in clusterCIDRs"));
        EXPECT_THAT(etcd_->keys(subnets), SizeIs(0));
        etcd_->put(config_key, some_network);
        wait_until([&] { return good(source); });
    });
}

}  // namespace
}  // namespace podlane::net
