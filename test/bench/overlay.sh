# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# `scripts/bench.sh overlay`, `direct`, `local` and `snat`: brings the set-ups up beside each other, measures them in turn, hands
# over to report.py. Sourced by scripts/bench.sh.

# shellcheck source=test/bench/common.sh
source "$project_dir/test/bench/common.sh"
traffic_program=$bin_dir/traffic
# One server per CPU and set-up. The client is always on CPU 0: port 7000 is the same CPU, 7001 another one.
server_cpus=(0 1)
first_port=7000

for bench_part in scripts/lib/{netns,cni,cluster}.sh test/bench/setup_{raw,flannel,podlane,promoted}.sh; do
  # shellcheck source=/dev/null
  source "$project_dir/$bench_part"
done

# name | traffic test | server's CPU | mode of the underlay. Modes: see underlay_mode.
overlay_metrics=(
  'rr_same_cpu      rr      0  offloads'
  'rr_across_cpus   rr      1  offloads'
  'stream_tso       stream  1  offloads'
  'udp_64           udp     1  offloads'
  'crr_services_0   crr     0  offloads'
  'stream_wire_gro  stream  1  wire-gro'
  'stream_wire      stream  1  wire'
)

direct_metrics=(
  'rr_same_cpu      rr      0  offloads'
  'rr_across_cpus   rr      1  offloads'
  'stream_tso       stream  1  offloads'
  'udp_64           udp     1  offloads'
  'crr_services_0   crr     0  offloads'
)
local_metrics=("${direct_metrics[@]}")
snat_metrics=("${direct_metrics[@]}")

# What each benchmark compares: where the server's pod is ("outside": no pod, but a host without a network of pods, in
# the place of the second node), and how the nodes reach one another.
choose_benchmark() {
  benchmark=$1 services=0 setups=raw,flannel,podlane server_node=2
  flannel_backend=host-gw flannel_mtu=1500 agent_mode=host-gw
  case $benchmark in
  overlay)
    services=0,1000,5000
    flannel_backend=vxlan flannel_mtu=1450 agent_mode=vxlan
    ;;
  local) setups=flannel,podlane server_node=1 ;;
  snat)
    setups=raw,flannel,podlane,promoted server_node=outside
    flannel_backend=vxlan flannel_mtu=1450 agent_mode=vxlan
    ;;
  esac
  local -n chosen=${benchmark}_metrics
  metrics=("${chosen[@]}")
}

quick_options() { rounds=3 seconds=0.4; }

parse_overlay_options() {
  rounds=5 seconds=1 json=''
  take_options 'rounds seconds services setups json' "$@"
  check_common_options
  check_overlay_options
}

check_overlay_options() {
  local setup
  [[ $seconds =~ ^[0-9]{1,3}(\.[0-9]+)?$ && $seconds =~ [1-9] ]] || usage_error "--seconds $seconds: not a length of time"
  [[ $services =~ ^[0-9]{1,5}(,[0-9]{1,5})*$ ]] || usage_error "--services $services: not numbers with commas"
  IFS=, read -ra service_counts <<<"$services"
  IFS=, read -ra setup_names <<<"$setups"
  for setup in "${setup_names[@]}"; do
    [[ $setup =~ ^(raw|flannel|podlane)$ || $benchmark-$setup == snat-promoted ]] ||
      usage_error "--setups: no set-up is called '$setup'"
  done
  ((${#setup_names[@]} > 0)) || usage_error "--setups names none"
}

# The namespaces of a benchmark, also of one that was killed, its processes, and its files.
sweep() {
  local namespace namespaces pidfile setup
  for pidfile in "$bench_dir"/servers/*.pid; do
    stop_daemon "$pidfile" "$traffic_program"
  done
  for setup in raw flannel podlane promoted; do
    "${setup}_down"
    namespaces="${setup}_namespaces[@]"
    for namespace in "${!namespaces}"; do
      ns_delete "$namespace"
    done
  done
  rm -rf "$bench_dir"
}

set_up_all() {
  local setup cpu server_ns address pidfile
  mkdir -p "$bench_dir/servers"
  for setup in "${setup_names[@]}"; do
    "${setup}_up"
    server_ns=${setup}_server_ns address=${setup}_server_address
    for cpu in "${server_cpus[@]}"; do
      pidfile=$bench_dir/servers/$setup-$cpu.pid
      ns_daemon "${!server_ns}" "$pidfile" "$bench_dir/servers/log" "$traffic_program" server \
        --address "${!address}" --port "$((first_port + cpu))" --cpu "$cpu"
    done
  done
}

# One server takes all connections, and every translation meets it with a port that it has seen before: a tuple that it
# keeps in TIME_WAIT costs a second, since neither sequence numbers nor timestamps of the next connection need be higher.
# With many servers that is rare.
forget_closed_connections() {
  local setup server_ns
  [[ $server_node == outside ]] || return 0
  for setup in "${setup_names[@]}"; do
    server_ns=${setup}_server_ns
    in_ns "${!server_ns}" sysctl -qw net.ipv4.tcp_max_tw_buckets=0
  done
}

# underlay_mode MODE: of the wire between the nodes, in every set-up.
#   offloads   segments of up to 64 KiB pass unsplit, as with a NIC that segments and aggregates
#   wire-gro   split to wire size by the sender's stack, aggregated by the receiver's
#   wire       split to wire size, not aggregated on the underlay
underlay_mode() {
  local setup namespaces namespace features
  case $1 in
  offloads) features=(tso on gro off) ;;
  wire-gro) features=(tso off gro on) ;;
  wire) features=(tso off gro off) ;;
  esac
  for setup in "${setup_names[@]}"; do
    namespaces="${setup}_underlay_ns[@]"
    for namespace in "${!namespaces}"; do
      in_ns "$namespace" ethtool -K eth0 "${features[@]}"
    done
  done
  # An agent may follow what the device can do.
  sleep 0.3
}

# The namespaces of a set-up's nodes, in $nodes: a host outside is none.
nodes_of() {
  local namespaces="$1_underlay_ns[@]"
  nodes=("${!namespaces}")
  [[ $server_node != outside ]] || nodes=("${nodes[0]}")
}

# load_services COUNT: kube-proxy's rules on every node that has kube-proxy; flannel's own rules stay.
load_services() {
  local setup nodes namespace index
  python3 "$project_dir/test/bench/kube_proxy_rules.py" "$1" >"$bench_dir/rules"
  for setup in "${setup_names[@]}"; do
    [[ $setup != raw ]] || continue
    nodes_of "$setup"
    index=0
    for namespace in "${nodes[@]}"; do
      index=$((index + 1))
      in_ns "$namespace" iptables-restore <"$bench_dir/rules"
      if [[ $setup == flannel ]]; then
        flannel_rules "10.244.$index.0/24" 10.244.0.0/16 | in_ns "$namespace" iptables-restore --noflush
      fi
    done
  done
}

# What earlier connections left in conntrack would slow later rounds down.
forget_connections() {
  local namespaces="$1_underlay_ns[@]" namespace
  for namespace in "${!namespaces}"; do
    in_ns "$namespace" conntrack -F >/dev/null 2>&1 || true
  done
}

# measure SETUP ROUND METRIC TEST CPU: one line of $bench_dir/results.
measure() {
  local setup=$1 round=$2 metric=$3 test=$4 cpu=$5 client_ns=$1_client_ns address=$1_server_address result
  [[ $test != crr || $setup == raw ]] || forget_connections "$setup"
  result=$(in_ns "${!client_ns}" "$traffic_program" "$test" --address "${!address}" --port "$((first_port + cpu))" \
    --cpu 0 --seconds "$seconds" --json) || die "$metric, $setup, round $round: no result"
  printf '%s\t%s\t%s\t%s\n' "$metric" "$setup" "$round" "$result" >>"$bench_dir/results"
}

measure_metrics() {
  local round line metric test cpu mode current_mode='' setup
  for ((round = 1; round <= rounds; round++)); do
    for line in "${metrics[@]}"; do
      read -r metric test cpu mode <<<"$line"
      ((cpu < ${#server_cpus[@]})) || continue
      if [[ $mode != "$current_mode" ]]; then
        underlay_mode "$mode"
        current_mode=$mode
      fi
      for setup in "${setup_names[@]}"; do
        progress "round $round of $rounds: $metric, $setup"
        measure "$setup" "$round" "$metric" "$test" "$cpu"
      done
    done
  done
  underlay_mode offloads
}

# Only flannel's path walks the rules; podlane has the same ones beside it. The wire has none: it is not measured.
measure_services() {
  local count round setup
  for count in "${service_counts[@]}"; do
    ((10#$count > 0)) || continue
    progress "loading the rules of $count services"
    load_services "$((10#$count))"
    for ((round = 1; round <= rounds; round++)); do
      for setup in "${setup_names[@]}"; do
        [[ $setup != raw ]] || continue
        progress "$count services, round $round of $rounds: $setup"
        measure "$setup" "$round" "crr_services_$((10#$count))" crr 0
      done
    done
  done
}

report() {
  local arguments=(--benchmark "$benchmark" --rounds "$rounds" --seconds "$seconds" --load "$load_before")
  if [[ -n $json ]]; then
    arguments+=(--json "$json")
  fi
  progress ''
  python3 "$project_dir/test/bench/report.py" "${arguments[@]}" "$bench_dir/results"
}

# overlay_main BENCHMARK OPTIONS...
overlay_main() {
  local programs
  choose_benchmark "$1"
  shift
  parse_overlay_options "$@"
  programs=(traffic)
  if [[ ,$setups, =~ ,(podlane|promoted), ]]; then
    programs+=(podlane-agent podlane agentctl)
  fi
  bench_begin sweep "${programs[@]}"
  set_up_all
  forget_closed_connections
  keep_cpus_awake
  measure_metrics
  measure_services
  report
}
