// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/flannel_files.h"

#include <gtest/gtest.h>

namespace podlane::migrate {
namespace {

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

template <typename T>
std::string problem_of(const Result<T>& result) {
    return result ? "no problem" : result.error().message;
}

// As in the ConfigMap kube-flannel-cfg.
TEST(NetConfTest, ConfigMapOfFlannel_IsReadWithFlannelsDefaults) {
    const auto conf = parse_net_conf(R"({
      "Network": "10.244.0.0/16",
      "EnableNFTables": false,
      "Backend": {
        "Type": "vxlan"
      }
    }
)");
    EXPECT_EQ(conf.value(), (NetConf{.network = prefix("10.244.0.0/16"), .backend = "vxlan"}));
}

TEST(NetConfTest, EveryKey_CountsInAnyCase) {
    const NetConf all{.network = prefix("10.5.0.0/16"),
                      .backend = "vxlan",
                      .vni = 7,
                      .port = 4789,
                      .mtu = 9000,
                      .direct_routing = true,
                      .ipv6 = true,
                      .nftables = true};
    EXPECT_EQ(parse_net_conf(R"({"Network": "10.5.0.0/16", "SubnetLen": 24, "EnableIPv6": true, "EnableNFTables": true,
        "Backend": {"Type": "VXLAN", "VNI": 7, "Port": 4789, "MTU": 9000, "DirectRouting": true}})")
                  .value(),
              all);
    EXPECT_EQ(parse_net_conf(R"({"NETWORK": "10.5.0.0/16", "enableipv6": true, "enablenftables": true,
        "backend": {"type": "vxlan", "vni": 7, "PORT": 4789, "mtu": 9000, "directrouting": true}})")
                  .value(),
              all);
}

TEST(NetConfTest, MissingBackend_IsUdpAndNullCountsAsMissing) {
    EXPECT_EQ(parse_net_conf(R"({"Network": "10.244.0.0/16", "Backend": null, "EnableIPv6": null})").value(),
              (NetConf{.network = prefix("10.244.0.0/16"), .backend = "udp"}));
}

TEST(NetConfTest, ExactKey_CountsBeforeOthers) {
    EXPECT_EQ(parse_net_conf(R"({"NETWORK": "10.1.0.0/16", "Network": "10.2.0.0/16"})").value().network,
              prefix("10.2.0.0/16"));
}

TEST(NetConfTest, PortZero_IsTheKernelsDefault) {
    EXPECT_EQ(parse_net_conf(R"({"Network": "10.1.0.0/16", "Backend": {"Type": "vxlan", "Port": 0}})").value().port,
              8472);
}

TEST(NetConfTest, WhatIsWrong_IsNamedByItsKey) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "net-conf.json: not valid JSON"},
        {R"({"Network": "10.244.0.0/16",)", "net-conf.json: not valid JSON"},
        {"// flannel\n{}", "net-conf.json: not valid JSON"},
        {"[]", "net-conf.json: the document: not an object"},
        {"{}", "net-conf.json: Network: is missing"},
        {R"({"Network": 7})", "net-conf.json: Network: not a text"},
        {R"({"Network": "10.244.0.0"})",
         "net-conf.json: Network: \"10.244.0.0\" is not an IPv4 address with the length of its network"},
        {R"({"Network": "10.244.0.0/33"})",
         "net-conf.json: Network: \"10.244.0.0/33\" is not an IPv4 address with the length of its network"},
        {R"({"Network": "fd00::/64"})",
         "net-conf.json: Network: \"fd00::/64\" is not an IPv4 address with the length of its network"},
        {R"({"Network": "10.1.0.0/16", "Backend": "vxlan"})", "net-conf.json: Backend: not an object"},
        {R"({"Network": "10.1.0.0/16", "Backend": {}})", "net-conf.json: Backend.Type: is missing"},
        {R"({"Network": "10.1.0.0/16", "backend": {"type": "vxlan", "vni": 16777216}})",
         "net-conf.json: Backend.VNI: not a whole number from 0 to 16777215"},
        {R"({"Network": "10.1.0.0/16", "Backend": {"Type": "vxlan", "Port": 70000}})",
         "net-conf.json: Backend.Port: not a whole number from 0 to 65535"},
        {R"({"Network": "10.1.0.0/16", "Backend": {"Type": "vxlan", "MTU": -1}})",
         "net-conf.json: Backend.MTU: not a whole number from 0 to 65535"},
        {R"({"Network": "10.1.0.0/16", "Backend": {"Type": "vxlan", "DirectRouting": "true"}})",
         "net-conf.json: Backend.DirectRouting: neither true nor false"},
    };
    for (const auto& [text, problem] : cases) {
        EXPECT_EQ(problem_of(parse_net_conf(text)), problem) << text;
    }
}

constexpr const char* subnet_env =
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
const SubnetEnv wanted_env{.network = prefix("10.244.0.0/16"),
                           .gateway = Ipv4Address::parse("10.244.1.1").value(),
                           .subnet = prefix("10.244.1.0/24"),
                           .mtu = 1450,
                           .ip_masq = true};

TEST(SubnetEnvTest, FileOfFlanneld_IsRead) {
    EXPECT_EQ(parse_subnet_env(subnet_env).value(), wanted_env);
}

TEST(SubnetEnvTest, OrderAndOtherKeys_DoNotMatter) {
    EXPECT_EQ(
        parse_subnet_env("FLANNEL_IPMASQ=true\r\n\nFLANNEL_IPV6_NETWORK=fd00::/64\nFLANNEL_IPV6_SUBNET=fd00::1/64\n"
                         "FLANNEL_MTU=1450\nSOMETHING=else=yes\nFLANNEL_SUBNET=10.244.1.1/24\n"
                         "FLANNEL_NETWORK=10.244.0.0/16")
            .value(),
        wanted_env);
}

TEST(SubnetEnvTest, KeyThatIsThereTwice_CountsAsWrittenLast) {
    EXPECT_FALSE(parse_subnet_env(std::string(subnet_env) + "FLANNEL_IPMASQ=false\n").value().ip_masq);
}

TEST(SubnetEnvTest, WhatIsWrong_IsNamedByLineAndKey) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "subnet.env: FLANNEL_NETWORK is missing"},
        {"FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPMASQ=true\n",
         "subnet.env: FLANNEL_MTU is missing"},
        {"\nFLANNEL_MTU\n", R"(subnet.env: line 2: "FLANNEL_MTU" has no "=")"},
        {"FLANNEL_MTU=1450\nFLANNEL_SUBNET=10.244.1.1\n",
         "subnet.env: line 2: FLANNEL_SUBNET: \"10.244.1.1\" is not an IPv4 address with the length of its network"},
        {"FLANNEL_NETWORK=\"10.244.0.0/16\"\n",
         "subnet.env: line 1: FLANNEL_NETWORK: \"\"10.244.0.0/16\"\" is not an "
         "IPv4 address with the length of its network"},
        {"FLANNEL_NETWORK=10.244.0.0/16,10.245.0.0/16\n",
         "subnet.env: line 1: FLANNEL_NETWORK: \"10.244.0.0/16,10.245.0.0/16\" is not an IPv4 address with the length "
         "of its network"},
        {"FLANNEL_MTU=\n", "subnet.env: line 1: FLANNEL_MTU: \"\" is not a whole number from 0 to 65535"},
        {"FLANNEL_MTU=1450B\n", "subnet.env: line 1: FLANNEL_MTU: \"1450B\" is not a whole number from 0 to 65535"},
        {"FLANNEL_IPMASQ=yes\n", "subnet.env: line 1: FLANNEL_IPMASQ: \"yes\" is neither true nor false"},
    };
    for (const auto& [text, problem] : cases) {
        EXPECT_EQ(problem_of(parse_subnet_env(text)), problem) << text;
    }
}

}  // namespace
}  // namespace podlane::migrate
