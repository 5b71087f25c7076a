#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/demo.sh [--keep | down]: a cluster of two nodes on this machine, in network namespaces.
#
# Builds what is not built, starts one podlane agent per node, attaches two pods through the CNI plugin, sends traffic
# from pod to pod across VXLAN, shows on the wire and in the BPF maps how it got there, and takes it all down again.
#
#   --keep   leave it up, and print commands to look inside
#   down     remove one that was kept
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/netns.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/netns.sh"
# shellcheck source=scripts/lib/cni.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cni.sh"
# shellcheck source=scripts/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"
# shellcheck source=scripts/lib/narrate.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/narrate.sh"

cluster_prefix=podlane-demo
cluster_dir=/run/podlane-demo
nodes=(node1 node2)
pods=(alice bob)
declare -A node_address=([node1]=192.168.56.11 [node2]=192.168.56.12)
declare -A node_pod_cidr=([node1]=10.244.1.0/24 [node2]=10.244.2.0/24)
declare -A pod_node=([alice]=node1 [bob]=node2)
declare -A pod_address=()
traffic_program=$bin_dir/traffic
traffic_port=7000

# ---------------------------------------------------------------------------------------------- up and down

in_pod() {
  local pod=$1
  shift
  in_ns "$(pod_ns "$pod")" "$@"
}

nodes_up() {
  local node
  mkdir -p "$cluster_dir"
  for node in "${nodes[@]}"; do
    ns_create "$(node_ns "$node")"
    node_object "$node" "${node_address[$node]}" "${node_pod_cidr[$node]}"
  done >"$cluster_dir/cluster.yaml"
  ns_join "$(node_ns node1)" "${node_address[node1]}/24" "$(node_ns node2)" "${node_address[node2]}/24"
}

agents_up() {
  local node
  for node in "${nodes[@]}"; do
    agent_start "$node"
  done
  for node in "${nodes[@]}"; do
    agent_wait "$node"
  done
}

pods_up() {
  local pod result
  for pod in "${pods[@]}"; do
    result=$(pod_attach "${pod_node[$pod]}" "$pod") || die "the CNI plugin refused the pod $pod: $result"
    pod_address[$pod]=$(cni_result_address <<<"$result")
  done
}

# Everything of a demo, also of one that was interrupted. Never fails for what is not there.
remove_all() {
  local name
  stop_daemon "$cluster_dir/traffic.pid" "$traffic_program"
  cluster_remove "${nodes[@]}"
  for name in "${pods[@]}" "${nodes[@]}"; do
    ns_delete "$cluster_prefix-$name"
  done
  rm -rf "$cluster_dir"
}

interrupted() {
  printf '\n%s: interrupted, taking it down\n' "${0##*/}" >&2
  exit "$1"
}

# The orderly way, each step of which must succeed: DEL by DEL, agent by agent.
take_down() {
  local pod node
  for pod in "${pods[@]}"; do
    pod_detach "${pod_node[$pod]}" "$pod" || die "CNI DEL of the pod $pod failed"
  done
  for node in "${nodes[@]}"; do
    agent_stop "$node"
    in_ns "$(node_ns "$node")" "$agent_program" cleanup --config "$cluster_dir/$node/agent.yaml" \
      >>"$cluster_dir/$node/agent.log" 2>&1 || die "podlane-agent cleanup failed: see $cluster_dir/$node/agent.log"
  done
}

# ---------------------------------------------------------------------------------------------- what is shown

show_topology() {
  local form
  form=$(cat <<'PICTURE'

       pod alice %-15s              pod bob %s
          eth0                                  eth0
           |                                     |
   +- node1 -----------------+           +- node2 -----------------+
   |       |                 |           |       |                 |
   |  BPF: adds the outer    |           |  BPF: finds the pod,    |
   |  Ethernet, IP, UDP and  |           |  removes the headers,   |
   |  VXLAN headers          |           |  checks the sender      |
   |       |                 |           |       |                 |
   |      eth0 ------------------- underlay --- eth0               |
   |  %-15s        |           |  %-15s        |
   |  pods %-15s   |           |  pods %-15s   |
   +-------------------------+           +-------------------------+

PICTURE
  )
  # The form is the text just above.
  # shellcheck disable=SC2059
  printf "$form\n\n" "${pod_address[alice]}" "${pod_address[bob]}" "${node_address[node1]}" "${node_address[node2]}" \
    "${node_pod_cidr[node1]}" "${node_pod_cidr[node2]}"
  say "Shown for a packet from alice to bob; the other direction is the same. Each node is a network namespace, and so" \
    "is each pod. One podlane-agent a node reads the cluster's state and fills BPF maps; BPF programs forward the packets."
}

show_state() {
  title "The cluster's state, and what the agents made of it"
  show "cat $cluster_dir/cluster.yaml" cat "$cluster_dir/cluster.yaml"
  for node in "${nodes[@]}"; do
    show "agentctl status          # on $node" ctl "$node" status
  done
  show "agentctl node list       # on node1" ctl node1 node list
}

show_ping() {
  title "A ping, in both directions"
  show "ping -c 3 ${pod_address[bob]}      # in alice" in_pod alice ping -n -c 3 -i 0.2 -W 2 "${pod_address[bob]}"
  show "ping -c 3 ${pod_address[alice]}      # in bob" in_pod bob ping -n -c 3 -i 0.2 -W 2 "${pod_address[alice]}"
  say "" "The TTL started at 64 and fell by one at each of the two nodes: podlane routes, it does not bridge."
}

show_bulk() {
  title "A bulk TCP transfer"
  say "ping proves little: only bulk traffic uses large segments, which must survive the encapsulation."
  ns_daemon "$(pod_ns bob)" "$cluster_dir/traffic.pid" "$cluster_dir/traffic.log" \
    "$traffic_program" server --address "${pod_address[bob]}" --port "$traffic_port"
  show "traffic stream --address ${pod_address[bob]}      # in alice" in_pod alice "$traffic_program" stream \
    --address "${pod_address[bob]}" --port "$traffic_port" --seconds 2
  show "traffic rr --address ${pod_address[bob]}          # in alice: a byte there, a byte back" in_pod alice \
    "$traffic_program" rr --address "${pod_address[bob]}" --port "$traffic_port" --seconds 1
  stop_daemon "$cluster_dir/traffic.pid" "$traffic_program"
}

# Names the two frames that tcpdump prints for one VXLAN packet: the inner one starts with a MAC, without a time.
label_frames() {
  awk 'NR == 1 { print "outer, between the nodes:" }
       NR > 1 && /^[0-9a-f][0-9a-f]:/ { print "inner, between the pods:" }
       { sub(/^ +/, "  "); print "  " $0 }'
}

# One echo request on node1's underlay, as tcpdump decodes it.
capture_packet() {
  local dump=$cluster_dir/capture.txt log=$cluster_dir/tcpdump.log pid tries
  : >"$log"
  in_ns "$(node_ns node1)" timeout 10 tcpdump -i eth0 -c 1 -nn -e -vv -l -T vxlan udp dst port 8472 >"$dump" 2>"$log" &
  pid=$!
  for ((tries = 0; tries < 100; tries++)); do
    grep -q 'listening on' "$log" && break
    sleep 0.05
  done
  in_pod alice ping -n -c 2 -i 0.2 -W 2 "${pod_address[bob]}" >/dev/null || return 1
  wait "$pid" || return 1
  label_frames <"$dump"
}

show_packet() {
  title "One packet on the wire"
  say "alice pings bob again, and tcpdump listens on node1's underlay. Outside stand the nodes' addresses and UDP port" \
    "8472, inside the packet of the pod, with the pods' own addresses: no address was translated."
  show "tcpdump -i eth0 -c 1 -nn -e -vv -T vxlan udp dst port 8472      # on node1" capture_packet
}

show_maps() {
  title "The map entries that made it happen"
  say "node1 looked up bob's podCIDR: which node has it, and which MAC its VXLAN device takes."
  show "agentctl map get nodes_by_pod_cidr ${node_pod_cidr[node2]}      # on node1" \
    ctl node1 map get nodes_by_pod_cidr "${node_pod_cidr[node2]}"
  say "" "node2 looked up bob: behind which interface, and with which MAC."
  show "agentctl map get pods_by_ipv4 ${pod_address[bob]}      # on node2" ctl node2 map get pods_by_ipv4 "${pod_address[bob]}"
  say "" "Before that it checked the sender: the inner source lies in a podCIDR whose node is the outer source."
  show "agentctl map get nodes_by_pod_cidr ${node_pod_cidr[node1]}      # on node2" \
    ctl node2 map get nodes_by_pod_cidr "${node_pod_cidr[node1]}"
  show "agentctl pod list        # on node2" ctl node2 pod list
}

show_counters() {
  title "What the programs counted"
  say "Forwarded by BPF, packets left to the host's stack, and drops, each with its reason."
  show "agentctl map dump path_counters handover_counters drop_counters      # on node1" \
    ctl node1 map dump path_counters handover_counters drop_counters
}

print_ways_inside() {
  local ctl_text
  ctl_text="$ctl_program --run-dir $cluster_dir/node1/run --bpffs $cluster_dir/node1/bpf/podlane"
  title "It stays up. Ways to look inside"
  say "  $ctl_text status" \
    "  $ctl_text map dump" \
    "  $ctl_text link list" \
    "  nsenter --net=/run/netns/$(pod_ns alice) ping ${pod_address[bob]}" \
    "  nsenter --net=/run/netns/$(node_ns node1) tcpdump -i eth0 -nn -T vxlan udp port 8472" \
    "  less $cluster_dir/node1/agent.log" \
    "Change $cluster_dir/cluster.yaml and watch the agents follow. Remove it all with:" \
    "  scripts/demo.sh down"
}

# ---------------------------------------------------------------------------------------------- the script

run_demo() {
  local keep=$1
  title "Building"
  build_programs podlane-agent agentctl podlane traffic
  say "programs are in $bin_dir"

  trap remove_all EXIT
  trap 'interrupted 130' INT
  trap 'interrupted 143' TERM
  remove_all
  title "Two nodes, two agents, two pods"
  nodes_up
  agents_up
  pods_up
  show_topology
  show_state
  show_ping
  show_bulk
  show_packet
  show_maps
  show_counters

  if [[ $keep == keep ]]; then
    print_ways_inside
    trap - EXIT
    return
  fi
  title "Taking it down"
  take_down
  remove_all
  trap - EXIT
  good "Done: pods detached, agents stopped, namespaces removed. Look around with: scripts/demo.sh --keep"
}

main() {
  (($# <= 1)) || usage_error "too many arguments"
  case ${1:-} in
  -h | --help) print_help ;;
  '')
    require_root
    run_demo once
    ;;
  --keep)
    require_root
    run_demo keep
    ;;
  down)
    require_root
    remove_all
    say "removed"
    ;;
  *) usage_error "unknown argument $1" ;;
  esac
}

main "$@"
