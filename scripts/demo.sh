#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/demo.sh [macvlan] [--keep | down]: a cluster of two nodes on this machine, in network namespaces.
#
# Builds what is not built, starts one podlane agent per node, attaches two pods through the CNI plugin, sends traffic
# from pod to pod across VXLAN and from a pod to a host outside through SNAT, shows on the wire and in the BPF maps how it
# got there, and takes it all down again.
#
#   macvlan  another story: pods on the LAN by macvlan, which reach everything but their own host and Services; with podlane
#            they do, and still do after the network was restarted
#   --keep   leave it up, and print commands to look inside
#   down     remove what was kept, of either story
set -euo pipefail
# shellcheck source=scripts/lib/demo.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/demo.sh"

cluster_prefix=podlane-demo
cluster_dir=/run/podlane-demo
cni_store=$cluster_dir/var-lib
nodes=(node1 node2)
pods=(alice bob)
declare -A node_address=([node1]=192.168.56.11 [node2]=192.168.56.12)
declare -A node_pod_cidr=([node1]=10.244.1.0/24 [node2]=10.244.2.0/24)
declare -A pod_node=([alice]=node1 [bob]=node2)
declare -A pod_address=()
# The nodes' gateway and switch, and a host outside the cluster, in one namespace.
outside_ns=$cluster_prefix-outside
gateway_address=192.168.56.1
outside_address=203.0.113.10
outside_port=80
# As /proc has it: python3 is a link.
python_program=$(readlink -f /usr/bin/python3)
traffic_program=$bin_dir/traffic
traffic_port=7000

# ---------------------------------------------------------------------------------------------- up and down

outside_up() {
  ns_create "$outside_ns"
  in_ns "$outside_ns" ip link add lan type bridge
  in_ns "$outside_ns" ip address add "$gateway_address/24" dev lan
  in_ns "$outside_ns" ip address add "$outside_address/32" dev lan
  in_ns "$outside_ns" ip link set lan up
  ns_daemon "$outside_ns" "$cluster_dir/outside.pid" "$cluster_dir/outside.log" \
    "$python_program" "$project_dir/scripts/lib/outside_host.py" "$outside_address" "$outside_port"
}

# plug_in NODE: its eth0 into the switch, and its default route.
plug_in() {
  local namespace
  namespace=$(node_ns "$1")
  ip link add eth0 netns "$namespace" type veth peer name "$1" netns "$outside_ns"
  in_ns "$outside_ns" ip link set "$1" master lan up
  in_ns "$namespace" ip address add "${node_address[$1]}/24" dev eth0
  in_ns "$namespace" ip link set eth0 up
  in_ns "$namespace" ip route add default via "$gateway_address"
}

nodes_up() {
  local node
  mkdir -p "$cluster_dir"
  outside_up
  for node in "${nodes[@]}"; do
    ns_create "$(node_ns "$node")"
    plug_in "$node"
    node_object "$node" "${node_address[$node]}" "${node_pod_cidr[$node]}"
  done >"$cluster_dir/cluster.yaml"
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
  stop_daemon "$cluster_dir/outside.pid" "$python_program"
  cluster_remove "${nodes[@]}"
  for name in "${pods[@]}" "${nodes[@]}" outside; do
    ns_delete "$cluster_prefix-$name"
  done
  rm -rf "$cluster_dir"
}

# The orderly way, each step of which must succeed: DEL by DEL, agent by agent.
take_down() {
  local pod
  for pod in "${pods[@]}"; do
    pod_detach "${pod_node[$pod]}" "$pod" || die "CNI DEL of the pod $pod failed"
  done
  agents_down "${nodes[@]}"
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
   |  %-15s        |     |     |  %-15s        |
   |  pods %-15s   |     |     |  pods %-15s   |
   +-------------------------+     |     +-------------------------+
                                   |
                        gateway %s
                        outside %s

PICTURE
  )
  # The form is the text just above.
  # shellcheck disable=SC2059
  printf "$form\n\n" "${pod_address[alice]}" "${pod_address[bob]}" "${node_address[node1]}" "${node_address[node2]}" \
    "${node_pod_cidr[node1]}" "${node_pod_cidr[node2]}" "$gateway_address" "$outside_address"
  say "Shown for a packet from alice to bob; the other direction is the same. Each node is a network namespace, and so" \
    "are each pod and the outside. One podlane-agent a node reads the cluster's state and fills BPF maps; BPF programs forward the packets."
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
  local dump=$cluster_dir/capture.txt
  start_capture "$(node_ns node1)" "$dump" -i eth0 -c 1 -nn -e -vv -l -T vxlan udp dst port 8472
  in_pod alice ping -n -c 2 -i 0.2 -W 2 "${pod_address[bob]}" >/dev/null || return 1
  wait "$capture_pid" || return 1
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

# alice's request; what the outside answers must name node1.
ask_outside() {
  local answer
  answer=$(in_pod alice curl --silent --show-error --noproxy '*' --max-time 5 "http://$outside_address:$outside_port/") || return 1
  printf '%s\n' "$answer"
  [[ $answer == *" ${node_address[node1]},"* ]] || die "the outside was to see node1, ${node_address[node1]}"
}

# What tcpdump saw at the gateway of alice's traffic; with a pod's address nothing.
read_outside_capture() {
  local leaked packets
  sed -n '1,4p' "$1"
  packets=$(wc -l <"$1")
  leaked=$(grep -c '10\.244\.' "$1" || true)
  say "..." "$packets packets, $leaked of them with a pod's address"
  ((packets > 0 && leaked == 0)) || die "the capture at the gateway is empty, or holds a pod's address"
}

show_outside() {
  local dump=$cluster_dir/outside.txt
  title "Out of the cluster, through SNAT"
  say "The host $outside_address knows nothing of pods. What alice sends there leaves node1 with node1's address, and a" \
    "port that BPF claims for the connection; tcpdump listens at the gateway meanwhile."
  start_capture "$outside_ns" "$dump" -i lan -nn -l host "$outside_address"
  show "curl http://$outside_address/      # in alice" ask_outside
  show "ping -c 2 $outside_address      # in alice" in_pod alice ping -n -c 2 -i 0.2 -W 2 "$outside_address"
  stop_capture
  show "tcpdump -i lan -nn host $outside_address      # at the gateway, meanwhile" read_outside_capture "$dump"
  say "" "node1's table of translations: who inside has which port outside."
  show "agentctl nat list        # on node1" ctl node1 nat list
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
    "  nsenter --net=/run/netns/$(pod_ns alice) curl http://$outside_address/" \
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

  remove_all_at_exit
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
  show_outside
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

macvlan_demo=$project_dir/scripts/lib/demo_macvlan.sh

main() {
  if [[ ${1:-} == macvlan ]]; then
    exec "$macvlan_demo" "${@:2}"
  fi
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
    exec "$macvlan_demo" down
    ;;
  *) usage_error "unknown argument $1" ;;
  esac
}

main "$@"
