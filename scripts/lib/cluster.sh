# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Podlane nodes in network namespaces, one agent each, fed by one state file. Sourced after cni.sh; the caller sets
#   cluster_prefix   in front of the names of all namespaces
#   agent_mode       overlay.mode of the agents started from now on (default vxlan)
#   agent_service_cidrs   serviceCIDRs of the agents started from now on (default none)
#   agent_xdp        underlay.xdp of the agents started from now on (default auto)
#   agent_underlay   underlay.device of the agents started from now on (default eth0)
#   agent_macvlan    macvlan of the agents started from now on (default none)
#   cluster_dir      everything that is on disk: agent.yaml, agent.log, agent.pid, run/ and bpf/ per node, cluster.yaml
# A node's underlay device is the caller's.

agent_program=$bin_dir/podlane-agent
plugin_program=$bin_dir/podlane
ctl_program=$bin_dir/agentctl

node_ns() { echo "$cluster_prefix-$1"; }
pod_ns() { echo "$cluster_prefix-$1"; }

# node_object NAME INTERNAL-IP POD-CIDR: a core/v1 Node as YAML, as much of it as podlane reads.
node_object() {
  cat <<YAML
---
apiVersion: v1
kind: Node
metadata: {name: $1}
spec: {podCIDR: $3, podCIDRs: [$3]}
status: {addresses: [{type: InternalIP, address: $2}]}
YAML
}

agent_config() {
  local node=$1
  cat <<YAML
nodeName: $node
runDir: $cluster_dir/$node/run
bpffs: $cluster_dir/$node/bpf/podlane
state: {source: file, file: $cluster_dir/cluster.yaml}
clusterCIDRs: [10.244.0.0/16]
serviceCIDRs: [${agent_service_cidrs:-}]
underlay: {device: ${agent_underlay:-eth0}, xdp: ${agent_xdp:-auto}}
overlay: {mode: ${agent_mode:-vxlan}}
macvlan: [${agent_macvlan:-}]
listen: ""
YAML
}

# agent_start NODE: its namespace and the state file exist.
agent_start() {
  local node=$1 dir=$cluster_dir/$1
  # The agent mounts a BPF file system at bpf/.
  mkdir -p "$dir/run" "$dir/bpf"
  agent_config "$node" >"$dir/agent.yaml"
  ns_daemon "$(node_ns "$node")" "$dir/agent.pid" "$dir/agent.log" "$agent_program" --config "$dir/agent.yaml"
}

# ctl NODE ARGUMENTS...: agentctl on that node.
ctl() {
  local node=$1
  shift
  "$ctl_program" --run-dir "$cluster_dir/$node/run" --bpffs "$cluster_dir/$node/bpf/podlane" "$@"
}

# agent_wait NODE: until it is in sync and forwards; 10 s at most.
agent_wait() {
  local node=$1 dir=$cluster_dir/$1 tries
  for ((tries = 0; tries < 200; tries++)); do
    if ctl "$node" status >/dev/null 2>&1; then
      return 0
    fi
    daemon_alive "$dir/agent.pid" "$agent_program" || break
    sleep 0.05
  done
  tail -n 20 "$dir/agent.log" >&2
  ctl "$node" status >&2 || true
  die "the agent of $node is not ready; the end of $dir/agent.log and its status stand above"
}

agent_stop() {
  stop_daemon "$cluster_dir/$1/agent.pid" "$agent_program"
}

plugin_config() {
  printf '{"cniVersion": "1.0.0", "name": "podlane", "type": "podlane", "runDir": "%s"}\n' "$cluster_dir/$1/run"
}

# pod_attach NODE POD: a namespace for the pod, and the plugin's ADD. Prints the CNI result.
pod_attach() {
  ns_create "$(pod_ns "$2")"
  plugin_config "$1" | cni ADD "$(node_ns "$1")" "$(pod_ns "$2")" "$2" "$plugin_program"
}

pod_detach() {
  plugin_config "$1" | cni DEL "$(node_ns "$1")" "$(pod_ns "$2")" "$2" "$plugin_program"
}

# cluster_remove NODE...: agents, BPF file systems and files. The caller deletes the namespaces.
cluster_remove() {
  local node
  for node in "$@"; do
    agent_stop "$node"
    if mountpoint -q "$cluster_dir/$node/bpf" 2>/dev/null; then
      umount "$cluster_dir/$node/bpf" || umount --lazy "$cluster_dir/$node/bpf"
    fi
  done
}
