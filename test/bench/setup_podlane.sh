# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Set-up "podlane": two nodes with their agents, a pod on node 1 and one on $server_node, attached by the CNI plugin.
#
#   pod eth0 -- veth - BPF - eth0 192.168.56.1 ---- 192.168.56.2 eth0 - BPF - veth -- eth0 pod
#
# With $server_node outside the second one is a host without podlane:
#
#   pod eth0 -- veth - BPF - eth0 192.168.56.1 ---- 192.168.56.2 eth0

cluster_prefix=$bench_prefix-podlane
cluster_dir=$bench_dir/podlane
podlane_client_ns=$(pod_ns pod1)
podlane_server_ns=$(pod_ns pod2)
podlane_underlay_ns=("$(node_ns node1)" "$(node_ns node2)")
# Where kube_proxy_rules.py has its services.
podlane_service_cidr=10.96.0.0/12
podlane_namespaces=("${podlane_underlay_ns[@]}" "$podlane_client_ns" "$podlane_server_ns")

podlane_up() {
  if [[ $server_node == outside ]]; then
    podlane_outside_up "$podlane_client_ns" "${podlane_underlay_ns[@]}" "$podlane_service_cidr"
    podlane_server_ns=${podlane_underlay_ns[1]} podlane_server_address=192.168.56.2
  else
    podlane_nodes_up
  fi
}

podlane_nodes_up() {
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

# podlane_outside_up POD-NAMESPACE NODE-NAMESPACE OUTSIDE-NAMESPACE SERVICE-CIDR: one node with a pod, and a host outside.
# The node has kube-proxy's rules, as a real one does, and so connection tracking, though they translate nothing.
podlane_outside_up() {
  local node=$2 outside=$3 agent_service_cidrs=$4 result
  mkdir -p "$cluster_dir"
  node_object node1 192.168.56.1 10.244.1.0/24 >"$cluster_dir/cluster.yaml"
  ns_create "$node"
  ns_create "$outside"
  ns_join "$node" 192.168.56.1/24 "$outside" 192.168.56.2/24
  python3 "$project_dir/test/bench/kube_proxy_rules.py" 0 | in_ns "$node" iptables-restore
  agent_start node1
  agent_wait node1
  result=$(pod_attach node1 "${1#"$cluster_prefix-"}") || die "CNI ADD of $1: $result"
}

podlane_down() {
  cluster_remove node1 node2
}
