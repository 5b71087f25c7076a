# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Set-up "podlane": two nodes with their agents, a pod on node 1 and one on $server_node, attached by the CNI plugin.
#
#   pod eth0 -- veth - BPF - eth0 192.168.56.1 ---- 192.168.56.2 eth0 - BPF - veth -- eth0 pod

cluster_prefix=$bench_prefix-podlane
cluster_dir=$bench_dir/podlane
podlane_client_ns=$(pod_ns pod1)
podlane_server_ns=$(pod_ns pod2)
podlane_underlay_ns=("$(node_ns node1)" "$(node_ns node2)")
podlane_namespaces=("${podlane_underlay_ns[@]}" "$podlane_client_ns" "$podlane_server_ns")

podlane_up() {
  local node result
  mkdir -p "$cluster_dir"
  {
    node_object node1 192.168.56.1 10.244.1.0/24
    node_object node2 192.168.56.2 10.244.2.0/24
  } >"$cluster_dir/cluster.yaml"
  for node in node1 node2; do
    ns_create "$(node_ns "$node")"
  done
  ns_join "${podlane_underlay_ns[0]}" 192.168.56.1/24 "${podlane_underlay_ns[1]}" 192.168.56.2/24
  for node in node1 node2; do
    agent_start "$node"
  done
  for node in node1 node2; do
    agent_wait "$node"
  done
  result=$(pod_attach node1 pod1) || die "CNI ADD of pod1: $result"
  result=$(pod_attach "node$server_node" pod2) || die "CNI ADD of pod2: $result"
  podlane_server_address=$(cni_result_address <<<"$result")
}

podlane_down() {
  cluster_remove node1 node2
}
