// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_addresses.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "agent/node/pod_snat_policy.h"

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const netlink::InterfaceAddress first{.ifindex = 2, .address = Ipv4Address::from_host(0xc0a80001), .prefix_length = 24};
const netlink::InterfaceAddress second{
    .ifindex = 3, .address = Ipv4Address::from_host(0xc0a80101), .prefix_length = 24};

Result<NodeAddresses::All> interrupted() {
    return fail_errno(EINTR, "list addresses: the table changed during each of 5 attempts");
}

TEST(NodeAddressesTest, FailureToListThem_LeavesThoseOfTheLastTime) {
    NodeAddresses addresses;
    addresses.take(NodeAddresses::All{first});
    addresses.take(interrupted());
    EXPECT_TRUE(addresses.known());
    EXPECT_THAT(addresses.all(), ElementsAre(first));
    EXPECT_THAT(addresses.problem(), HasSubstr("the table changed"));
    addresses.take(NodeAddresses::All{second});
    EXPECT_THAT(addresses.all(), ElementsAre(second));
    EXPECT_EQ(addresses.problem(), "");
    addresses.take(NodeAddresses::All{});
    EXPECT_TRUE(addresses.known()) << "a node without addresses is no failure";
    EXPECT_THAT(addresses.all(), IsEmpty());
}

TEST(NodeAddressesTest, FirstFailure_LeavesNothingToGoBy) {
    NodeAddresses addresses;
    EXPECT_FALSE(addresses.known());
    addresses.take(interrupted());
    EXPECT_FALSE(addresses.known());
    EXPECT_THAT(addresses.problem(), HasSubstr("list addresses"));
}

TEST(NodeAddressesTest, EgressAddress_OutlivesAFailureToListAddresses) {
    PodObject pod;
    pod.name_space = "default";
    pod.name = "web";
    pod.annotations = {{"podlane.io/egress-ip", second.address.to_string()}};
    ClusterObjects objects;
    objects.pods.emplace("default/web", pod);
    Endpoint endpoint;
    endpoint.name_space = pod.name_space;
    endpoint.name = pod.name;
    NodeAddresses addresses;
    PodSnatPolicy policy;
    for (const auto& listed : {Result<NodeAddresses::All>(NodeAddresses::All{first, second}), interrupted()}) {
        addresses.take(listed);
        policy.begin(addresses.all(), {}, first.address);
        EXPECT_EQ(policy.decide(objects, endpoint).address, second.address);
        policy.end();
        EXPECT_THAT(policy.warnings(), IsEmpty());
    }
}

}  // namespace
}  // namespace podlane
