#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/demo.sh macvlan [--keep | down]: pods on the host's LAN by macvlan, in network namespaces on this machine.
#
# Builds what is not built and plays a story that operators tell: with the reference macvlan plugin a pod reaches the
# whole LAN but neither its own host nor a Service. With podlane, and the rest of the configuration as it was, it reaches
# both and the pods of the overlay, while the LAN sees one MAC for the host; and it still does after the network was
# restarted. Takes it all down again.
#
#   --keep   leave it up, and print commands to look inside
#   down     remove one that was kept
set -euo pipefail
# shellcheck source=scripts/lib/demo.sh
source "$(dirname "${BASH_SOURCE[0]}")/demo.sh"

cluster_prefix=podlane-demo-mv
cluster_dir=/run/podlane-demo-mv
cni_store=$cluster_dir/var-lib
agent_underlay=em2
nodes=(node1 node2)
pod_addresses=10.244.0.0/16
declare -A node_address=([node1]=172.20.7.100 [node2]=172.20.7.101)
declare -A node_pod_cidr=([node1]=10.244.1.0/24 [node2]=10.244.2.0/24)
neighbour_address=172.20.7.200
gateway_address=172.20.7.254
internet_address=203.0.113.10
service_cidr=10.32.0.0/24
api_service=10.32.0.1
api_port=6443
shim=podlane-lan
shim_config="{name: lan, master: em2, shim: $shim, serviceCIDRs: [$service_cidr]}"
heal_limit_ms=5000
# As /proc has it: python3 is a link.
python_program=$(readlink -f /usr/bin/python3)
# Every namespace but the nodes': the LAN's switch, who else is on it, and the pods.
others=(switch neighbour gateway internet plain alice bob)
capture_pid=''

# As the story's operator has it.
users_config() {
  cat <<'JSON'
{"name":"mynet","type":"macvlan","master":"em2","mode":"bridge",
 "ipam":{"type":"host-local",
  "ranges":[[{"subnet":"172.20.7.0/24","rangeStart":"172.20.7.51","rangeEnd":"172.20.7.98","gateway":"172.20.7.254"}]],
  "routes":[{"dst":"0.0.0.0/0"}]}}
JSON
}

# All that he changes.
changed_config() { users_config | sed 's/"type":"macvlan"/"type":"podlane","link":"macvlan"/'; }

# What a container runtime adds to a configuration on stdin, and where this agent is.
for_runtime() { sed "1s|^{|{\"cniVersion\":\"1.0.0\",\"runDir\":\"$cluster_dir/node1/run\",|"; }

# ---------------------------------------------------------------------------------------------- up and down

# plug_in NAMESPACE DEVICE ADDRESS: a device on the LAN.
plug_in() {
  local namespace=$cluster_prefix-$1
  ip link add "$2" netns "$namespace" type veth peer name "$1" netns "$cluster_prefix-switch"
  in_ns "$cluster_prefix-switch" ip link set "$1" master lan up
  in_ns "$namespace" ip address add "$3/24" dev "$2"
  in_ns "$namespace" ip link set "$2" up
}

# serve NAME NAMESPACE ADDRESS PORT: says whom it sees. Returns when it listens.
serve() {
  local tries
  ns_daemon "$cluster_prefix-$2" "$cluster_dir/server-$1.pid" "$cluster_dir/servers.log" \
    "$python_program" "$project_dir/scripts/lib/outside_host.py" "$3" "$4"
  for ((tries = 0; tries < 100; tries++)); do
    [[ -z $(in_ns "$cluster_prefix-$2" ss -Hltn "sport = :$4") ]] || return 0
    sleep 0.05
  done
  die "$3 port $4 is not served: see $cluster_dir/servers.log"
}

lan_up() {
  local name
  for name in "${nodes[@]}" switch neighbour gateway internet; do
    ns_create "$cluster_prefix-$name"
  done
  in_ns "$cluster_prefix-switch" ip link add lan type bridge
  in_ns "$cluster_prefix-switch" ip link set lan up
  plug_in neighbour eth0 "$neighbour_address"
  plug_in gateway eth0 "$gateway_address"
  for name in "${nodes[@]}"; do
    plug_in "$name" em2 "${node_address[$name]}"
  done
  for name in "${nodes[@]}" neighbour; do
    in_ns "$cluster_prefix-$name" ip route add default via "$gateway_address"
  done
  ip link add internet netns "$cluster_prefix-gateway" type veth peer name eth0 netns "$cluster_prefix-internet"
  in_ns "$cluster_prefix-gateway" ip address add 203.0.113.1/24 dev internet
  in_ns "$cluster_prefix-gateway" ip link set internet up
  in_ns "$cluster_prefix-gateway" sysctl -qw net.ipv4.ip_forward=1
  in_ns "$cluster_prefix-internet" ip address add "$internet_address/24" dev eth0
  in_ns "$cluster_prefix-internet" ip link set eth0 up
  in_ns "$cluster_prefix-internet" ip route add default via 203.0.113.1
}

servers_up() {
  serve host node1 "${node_address[node1]}" 80
  serve api node2 "${node_address[node2]}" "$api_port"
  serve neighbour neighbour "$neighbour_address" 80
  serve internet internet "$internet_address" 80
}

# The API's Service as kube-proxy --cluster-cidr writes it, in iptables mode: one backend, on node2.
kube_proxy_rules() {
  cat <<RULES
*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SERVICES ! -s $pod_addresses -d $api_service/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d $api_service/32 -p tcp -m tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y
-A KUBE-SVC-NPX46M4PTMTKRN6Y -p tcp -m tcp -j DNAT --to-destination ${node_address[node2]}:$api_port
COMMIT
RULES
}

cluster_up() {
  local node
  lan_up
  servers_up
  kube_proxy_rules | in_ns "$(node_ns node1)" iptables-restore -w
  for node in "${nodes[@]}"; do
    node_object "$node" "${node_address[$node]}" "${node_pod_cidr[$node]}"
  done >"$cluster_dir/cluster.yaml"
}

agents_up() {
  local node
  agent_macvlan=$shim_config agent_start node1
  agent_start node2
  for node in "${nodes[@]}"; do
    agent_wait "$node"
  done
}

# macvlan_pod COMMAND POD PLUGIN, its configuration on stdin: prints the CNI result.
macvlan_pod() {
  for_runtime | cni "$1" "$(node_ns node1)" "$(pod_ns "$2")" "$2" "$3"
}

# Everything, also of a story that was interrupted. Never fails for what is not there.
remove_all() {
  local name pidfile
  [[ -z $capture_pid ]] || kill "$capture_pid" 2>/dev/null || true
  for pidfile in "$cluster_dir"/server-*.pid; do
    stop_daemon "$pidfile" "$python_program"
  done
  cluster_remove "${nodes[@]}"
  for name in "${others[@]}" "${nodes[@]}"; do
    ns_delete "$cluster_prefix-$name"
  done
  rm -rf "$cluster_dir"
}

# Each step of which must succeed.
take_down() {
  changed_config | macvlan_pod DEL alice "$plugin_program" || die "CNI DEL of the pod alice failed"
  pod_detach node2 bob || die "CNI DEL of the pod bob failed"
  agents_down "${nodes[@]}"
}

# ---------------------------------------------------------------------------------------------- what is shown

show_topology() {
  cat <<PICTURE

    pod 172.20.7.51 (macvlan on em2)                 pod bob (veth)
          :                                                |
   +- node1 -------------------+             +- node2 -------------------+
   |  em2 ${node_address[node1]}         |             |  em2 ${node_address[node2]}         |
   |  kube-proxy's rules       |             |  the API server, :$api_port    |
   +----|----------------------+             +----|----------------------+
        |                                         |
        +---------- LAN 172.20.7.0/24 ------------+
        |                                         |
   neighbour $neighbour_address               gateway $gateway_address --- internet $internet_address

PICTURE
  say "Each is a network namespace. Who is asked by HTTP answers with the address that he sees."
}

# show_failure TEXT COMMAND...: as show, of a command that must fail.
show_failure() {
  local text=$1 status=0
  shift
  printf '\n  %s$ %s%s\n' "$style_command" "$text" "$style_off"
  "$@" 2>&1 | indent || status=$?
  ((status != 0)) || die "this was to fail: $text"
}

ping_from() { in_pod "$1" ping -n -q -c 2 -i 0.2 -w 1 "$2"; }

fetch() { in_pod "$1" curl --silent --show-error --noproxy '*' --max-time 3 "http://$2/"; }

# ask POD HOST:PORT SEEN: the answer must name the address SEEN.
ask() {
  local answer
  answer=$(fetch "$1" "$2") || return 1
  printf '%s\n' "$answer"
  [[ $answer == *" $3,"* ]] || die "$2 was to see $3"
}

show_plain() {
  title "The problem: macvlan, as it is"
  show "cat /etc/cni/net.d/mynet.conf" users_config
  ns_create "$(pod_ns plain)"
  plain_address=$(users_config | macvlan_pod ADD plain "$debian_cni_dir/macvlan" | cni_result_address) ||
    die "the reference plugin refused the pod"
  say "" "The reference plugin's pod has $plain_address. It reaches the LAN, and the internet by the gateway:"
  show "curl http://$neighbour_address/      # the neighbour" ask plain "$neighbour_address" "$plain_address"
  show "curl http://$internet_address/      # the internet" ask plain "$internet_address" "$plain_address"
  say "" "But not its own host, since macvlan keeps a device apart from the one that it is on; and no Service, since its" \
    "packets never pass kube-proxy's rules in the host's stack:"
  show_failure "ping ${node_address[node1]}      # its own host" ping_from plain "${node_address[node1]}"
  show_failure "curl http://$api_service:443/      # the API's Service" fetch plain "$api_service:443"
  users_config | macvlan_pod DEL plain "$debian_cni_dir/macvlan" || die "the reference plugin's DEL failed"
}

podlane_up() {
  local result
  agents_up
  ns_create "$(pod_ns alice)"
  result=$(changed_config | macvlan_pod ADD alice "$plugin_program") || die "the CNI plugin refused the pod alice: $result"
  alice_address=$(cni_result_address <<<"$result")
  result=$(pod_attach node2 bob) || die "the CNI plugin refused the pod bob: $result"
  bob_address=$(cni_result_address <<<"$result")
  serve bob bob "$bob_address" 80
}

show_podlane() {
  title "The same with podlane"
  say "One entry in the configuration of node1's agent, and another type in that of the pods; no script, no address moved."
  show "grep macvlan podlane.yaml" grep macvlan "$cluster_dir/node1/agent.yaml"
  show "head -n 1 /etc/cni/net.d/mynet.conf" sed -n 1p <(changed_config)
  show "ip route      # in alice, the pod: what the plugin added" in_pod alice ip route
  show "ip -br -4 address      # on node1: the host's address stays on em2" in_ns "$(node_ns node1)" ip -br -4 address
  show "agentctl status      # on node1" ctl node1 status
}

# Everything that a macvlan pod is to reach, and the source that each sees.
show_reach() {
  local node1=${node_address[node1]}
  show "curl http://$node1/      # its own host" ask alice "$node1" "$alice_address"
  show "curl http://$api_service:443/      # the API's Service: kube-proxy's rules, masqueraded" ask alice "$api_service:443" "$node1"
  show "curl http://$bob_address/      # bob, a pod of the overlay on node2" ask alice "$bob_address" "$node1"
  show "curl http://$neighbour_address/      # the neighbour" ask alice "$neighbour_address" "$alice_address"
  show "curl http://$internet_address/      # the internet" ask alice "$internet_address" "$alice_address"
  show "ping $alice_address      # on node1: and back" in_ns "$(node_ns node1)" ping -n -q -c 2 -i 0.2 -w 1 "$alice_address"
}

# What CentOS's scripts and Debian's do to a device, and what they do to a macvlan that they know nothing of.
restart_network() {
  local node1
  node1=$(node_ns node1)
  in_ns "$node1" ip link delete "$shim"
  in_ns "$node1" ip link set em2 down
  in_ns "$node1" ip address flush dev em2
  in_ns "$node1" ip route flush table main
  in_ns "$node1" ip link set em2 up
  in_ns "$node1" ip address add "${node_address[node1]}/24" dev em2
  in_ns "$node1" ip route add default via "$gateway_address"
}

# Until alice's host answers her again; the limit is podlane's promise.
wait_for_host() {
  local start now
  start=$(date +%s%3N)
  until in_pod alice ping -n -q -c 1 -W 0.2 "${node_address[node1]}" >/dev/null 2>&1; do
    now=$(date +%s%3N)
    ((now - start < heal_limit_ms)) || die "alice's host is still away after $((now - start)) ms: see $cluster_dir/node1/agent.log"
  done
  say "alice reaches her host $(($(date +%s%3N) - start)) ms after the network is back"
}

lines_of_status() { ctl node1 status | grep -E 'macvlan|repairs'; }

show_restart() {
  title "systemctl restart network"
  say "Device down, addresses and routes flushed, the shim deleted; device up, address and default route anew."
  show "systemctl restart network      # on node1, played with ip" restart_network
  wait_for_host
  agent_wait node1
  show "agentctl status | grep -E 'macvlan|repairs'" lines_of_status
  show_reach
}

start_watch() {
  # Whatever claims the address: ARP of either kind with it as the sender's, and IPv4.
  start_capture "$cluster_prefix-switch" "$cluster_dir/watch.txt" -i node1 -Q in -nn -e -l \
    '(arp[14:4] = 0xac140764) or src host 172.20.7.100'
}

# The senders of the frames, of which each has a line that begins with the time.
watched_macs() { awk '/^[0-9:]+\.[0-9]+ / { print $2 }' "$cluster_dir/watch.txt"; }

read_watch() {
  sed -n '1,2p' "$cluster_dir/watch.txt"
  say "..."
  watched_macs | sort | uniq -c | awk '{ print $1, "frames from", $2 }'
}

show_one_mac() {
  local expected macs
  title "What the LAN saw all the time: one MAC for the host"
  say "The host's address is on em2 and on the shim. tcpdump has listened at node1's port since before the agent's start."
  show "arping -b -c 2 ${node_address[node1]}      # at the neighbour" \
    in_ns "$cluster_prefix-neighbour" arping -b -c 2 -I eth0 "${node_address[node1]}"
  stop_capture
  show "tcpdump -i node1 -e arp or src host ${node_address[node1]}      # at the switch, by the sender's MAC" \
    read_watch
  expected=$(in_ns "$(node_ns node1)" ip -j link show em2 | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])')
  macs=$(watched_macs | sort -u)
  [[ $macs == "$expected" ]] || die "em2's MAC is $expected; the LAN saw: ${macs:-none}"
}

print_ways_inside() {
  local ctl_text
  ctl_text="$ctl_program --run-dir $cluster_dir/node1/run --bpffs $cluster_dir/node1/bpf/podlane"
  title "It stays up. Ways to look inside"
  say "  $ctl_text status" \
    "  $ctl_text pod list" \
    "  $ctl_text link list" \
    "  $ctl_text map dump macvlan_pods_by_ipv4" \
    "  nsenter --net=/run/netns/$(pod_ns alice) curl http://$api_service:443/" \
    "  nsenter --net=/run/netns/$(node_ns node1) ip address" \
    "  less $cluster_dir/node1/agent.log" \
    "Remove it all with:" \
    "  scripts/demo.sh down"
}

# ---------------------------------------------------------------------------------------------- the script

run_story() {
  local keep=$1
  title "Building"
  build_programs podlane-agent agentctl podlane
  say "programs are in $bin_dir"

  remove_all_at_exit
  remove_all
  mkdir -p "$cluster_dir"
  title "A LAN with two nodes"
  cluster_up
  show_topology
  show_plain
  start_watch
  podlane_up
  show_podlane
  show_reach
  show_restart
  show_one_mac

  if [[ $keep == keep ]]; then
    print_ways_inside
    trap - EXIT
    return
  fi
  title "Taking it down"
  take_down
  remove_all
  trap - EXIT
  good "Done: without podlane the pod reached neither its host nor a Service; with it both, also after the network's restart." \
    "Look around with: scripts/demo.sh macvlan --keep"
}

main() {
  (($# <= 1)) || usage_error "too many arguments"
  case ${1:-} in
  -h | --help) print_help ;;
  '')
    require_root
    run_story once
    ;;
  --keep)
    require_root
    run_story keep
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
