// SPDX-License-Identifier: Apache-2.0
#include "agent/config/config_file.h"

#include <array>

#include "agent/config/config_tree.h"
#include "agent/config/values.h"

namespace podlane {
namespace {

constexpr std::uint64_t highest_port = 65535;
constexpr std::uint64_t highest_vni = 0xffffff;
// What every IPv4 host must take (RFC 791), and what is left of 65535 bytes after the outer headers.
constexpr std::uint64_t lowest_mtu = 576;
constexpr std::uint64_t highest_mtu = 65535 - 50;

constexpr auto state_sources = std::to_array<Choice<StateSource>>({
    {"kubernetes", StateSource::kubernetes},
    {"etcd", StateSource::etcd},
    {"file", StateSource::file},
});
constexpr auto xdp_modes = std::to_array<Choice<XdpMode>>({
    {"auto", XdpMode::automatic},
    {"native", XdpMode::native},
    {"generic", XdpMode::generic},
    {"off", XdpMode::off},
});
constexpr auto overlay_modes = std::to_array<Choice<OverlayMode>>({
    {"auto", OverlayMode::automatic},
    {"vxlan", OverlayMode::vxlan},
    {"host-gw", OverlayMode::host_gw},
});
constexpr auto macvlan_modes = std::to_array<Choice<MacvlanMode>>({
    {"bridge", MacvlanMode::bridge},
    {"private", MacvlanMode::private_mode},
    {"vepa", MacvlanMode::vepa},
    {"passthru", MacvlanMode::passthru},
});
constexpr auto host_addresses = std::to_array<Choice<HostAddress>>({
    {"keep", HostAddress::keep},
    {"move", HostAddress::move},
});

template <typename Enum, std::size_t size>
ValueHandler one_of(Enum& target, const std::array<Choice<Enum>, size>& choices) {
    return choice_into(target, std::span<const Choice<Enum>>(choices));
}

Result<void> read_etcd(const ConfigValue& value, EtcdConfig& etcd) {
    const std::array<KnownKey, 5> known{{
        {"endpoints", texts_into(etcd.endpoints)},
        {"prefix", text_into(etcd.prefix)},
        {"caFile", absolute_path_into(etcd.ca_file)},
        {"certFile", absolute_path_into(etcd.cert_file)},
        {"keyFile", absolute_path_into(etcd.key_file)},
    }};
    return read_members(value, known);
}

Result<void> read_state(const ConfigValue& value, StateConfig& state) {
    const std::array<KnownKey, 5> known{{
        {"source", one_of(state.source, state_sources)},
        {"file", absolute_path_into(state.file)},
        {"kubeconfig", absolute_path_into(state.kubeconfig)},
        {"cacheFile", absolute_path_into(state.cache_file)},
        {"etcd", [&](const ConfigValue& etcd) { return read_etcd(etcd, state.etcd); }},
    }};
    return read_members(value, known);
}

Result<void> read_underlay(const ConfigValue& value, UnderlayConfig& underlay) {
    const std::array<KnownKey, 2> known{{
        {"device", text_into(underlay.device)},
        {"xdp", one_of(underlay.xdp, xdp_modes)},
    }};
    return read_members(value, known);
}

Result<void> read_mtu(const ConfigValue& value, std::uint32_t& mtu) {
    const auto number = whole_number(value);
    if (number && *number == 0) {
        mtu = 0;
        return {};
    }
    return number_into(mtu, lowest_mtu, highest_mtu)(value);
}

Result<void> read_overlay(const ConfigValue& value, OverlayConfig& overlay) {
    const std::array<KnownKey, 6> known{{
        {"mode", one_of(overlay.mode, overlay_modes)},
        {"device", text_into(overlay.device)},
        {"vni", number_into(overlay.vni, 0, highest_vni)},
        {"port", number_into(overlay.port, 1, highest_port)},
        {"mtu", [&](const ConfigValue& mtu) { return read_mtu(mtu, overlay.mtu); }},
        {"flannel", flag_into(overlay.flannel)},
    }};
    return read_members(value, known);
}

Result<void> read_snat(const ConfigValue& value, SnatConfig& snat) {
    const std::array<KnownKey, 4> known{{
        {"enabled", flag_into(snat.enabled)},
        {"ipMasqAgentFile", absolute_path_into(snat.ip_masq_agent_file)},
        {"nonMasqueradeCIDRs", prefixes_into(snat.non_masquerade_cidrs)},
        {"portRange", port_range_into(snat.port_range)},
    }};
    return read_members(value, known);
}

Result<void> read_macvlan(const ConfigValue& value, MacvlanConfig& macvlan) {
    const std::array<KnownKey, 6> known{{
        {"name", text_into(macvlan.name)},
        {"master", text_into(macvlan.master)},
        {"mode", one_of(macvlan.mode, macvlan_modes)},
        {"hostAddress", one_of(macvlan.host_address, host_addresses)},
        {"shim", text_into(macvlan.shim)},
        {"serviceCIDRs", prefixes_into(macvlan.service_cidrs)},
    }};
    return read_members(value, known);
}

Result<void> read_macvlans(const ConfigValue& value, std::vector<MacvlanConfig>& macvlans) {
    macvlans.clear();
    return read_elements(value,
                         [&](const ConfigValue& element) { return read_macvlan(element, macvlans.emplace_back()); });
}

Result<void> read_cni(const ConfigValue& value, CniFileConfig& cni) {
    const std::array<KnownKey, 2> known{{
        {"configFile", absolute_path_into(cni.config_file)},
        {"template", absolute_path_into(cni.template_file)},
    }};
    return read_members(value, known);
}

Result<void> read_kubernetes(const ConfigValue& value, KubernetesConfig& kubernetes) {
    const std::array<KnownKey, 1> known{{
        {"startupTaint", text_into(kubernetes.startup_taint)},
    }};
    return read_members(value, known);
}

}  // namespace

Result<void> apply_config_text(std::string_view text, std::string_view name, Config& config) {
    const auto tree = read_config_tree(text, name);
    if (!tree) {
        return std::unexpected(tree.error());
    }
    if (*tree == nullptr || (*tree)->is_null()) {
        return {};
    }
    if ((*tree)->type != ConfigNode::Type::map) {
        return fail("{}:{}: the configuration must be an object (key: value)", name, (*tree)->line);
    }
    const std::array<KnownKey, 13> known{{
        {"nodeName", text_into(config.node_name)},
        {"runDir", absolute_path_into(config.run_dir)},
        {"bpffs", absolute_path_into(config.bpffs)},
        {"state", [&](const ConfigValue& value) { return read_state(value, config.state); }},
        {"clusterCIDRs", prefixes_into(config.cluster_cidrs)},
        {"serviceCIDRs", prefixes_into(config.service_cidrs)},
        {"underlay", [&](const ConfigValue& value) { return read_underlay(value, config.underlay); }},
        {"overlay", [&](const ConfigValue& value) { return read_overlay(value, config.overlay); }},
        {"snat", [&](const ConfigValue& value) { return read_snat(value, config.snat); }},
        {"macvlan", [&](const ConfigValue& value) { return read_macvlans(value, config.macvlan); }},
        {"cni", [&](const ConfigValue& value) { return read_cni(value, config.cni); }},
        {"kubernetes", [&](const ConfigValue& value) { return read_kubernetes(value, config.kubernetes); }},
        {"listen", listen_into(config.listen)},
    }};
    return read_members({name, "", **tree}, known);
}

}  // namespace podlane
