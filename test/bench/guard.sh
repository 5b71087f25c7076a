# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# `scripts/bench.sh guard`: a flood of spoofed packets into nodes that differ in underlay.xdp. Sourced by
# scripts/bench.sh.
#
#   forger eth0 ---- eth0 192.168.56.N [guard | tc] node N      one wire for each way, one agent on each node
#
# The flood comes in two forms: as skbs, as from a neighbour on a veth, and as frames without an skb, as a network card's
# driver has them. The receiving is done in the sender's system calls: its CPU time is what sending and refusing cost
# together, whatever else the machine does. What sending alone costs is measured into a bridge that passes nothing on, or
# by throwing the frames away.

guard_ways=(tc generic native)
guard_forger_address=192.168.56.66
flood_program=$bin_dir/flood

# shellcheck source=test/bench/common.sh
source "$project_dir/test/bench/common.sh"
cluster_prefix=$bench_prefix-guard
cluster_dir=$bench_dir/guard
for bench_part in netns cni cluster; do
  # shellcheck source=/dev/null
  source "$project_dir/scripts/lib/$bench_part.sh"
done

quick_options() { rounds=3 packets=200000; }

parse_guard_options() {
  rounds=5 packets=1000000 json=''
  take_options 'rounds packets json' "$@"
  check_common_options
  [[ $packets =~ ^[1-9][0-9]{2,8}$ ]] || usage_error "--packets $packets: not a number from 100 to 999999999"
}

guard_forger_ns() { echo "$cluster_prefix-forger-$1"; }

guard_sweep() {
  local way
  cluster_remove "${guard_ways[@]}"
  for way in "${guard_ways[@]}"; do
    ns_delete "$(node_ns "$way")"
    ns_delete "$(guard_forger_ns "$way")"
  done
  ns_delete "$(guard_forger_ns send)"
  rm -rf "$cluster_dir"
}

guard_set_up() {
  local way number=0
  mkdir -p "$cluster_dir"
  for way in "${guard_ways[@]}"; do
    number=$((number + 1))
    node_object "$way" "192.168.56.$number" "10.244.$number.0/24"
  done >"$cluster_dir/cluster.yaml"
  number=0
  for way in "${guard_ways[@]}"; do
    number=$((number + 1))
    ns_create "$(node_ns "$way")"
    ns_create "$(guard_forger_ns "$way")"
    ns_join "$(guard_forger_ns "$way")" "$guard_forger_address/24" "$(node_ns "$way")" "192.168.56.$number/24"
    # As a network card: its packets reach the stack by NAPI. Without it a veth takes no frames.
    in_ns "$(node_ns "$way")" ethtool -K eth0 gro on
    agent_xdp=${way/tc/off} agent_start "$way"
  done
  for way in "${guard_ways[@]}"; do
    agent_wait "$way"
  done
  guard_sink_up
}

# Where sending alone is measured: a bridge whose only port takes no packet that it has not learned to want.
guard_sink_up() {
  local sink device
  sink=$(guard_forger_ns send)
  ns_create "$sink"
  in_ns "$sink" ip link add eth0 type bridge mcast_snooping 0
  in_ns "$sink" ip link add port type veth peer name end
  in_ns "$sink" ip link set port master eth0
  in_ns "$sink" bridge link set dev port flood off mcast_flood off bcast_flood off
  for device in port end eth0; do
    in_ns "$sink" ip link set "$device" up
  done
}

# refused NODE: packets that its programs have dropped so far.
refused() {
  ctl "$1" map dump drop_counters -o json |
    python3 -c 'import json, sys; print(sum(int(e["value"]["packets"]) for e in json.load(sys.stdin)[0]["entries"]))'
}

# guard_flood FORM WAY NUMBER MAC: into node NUMBER, in the name of a pod of another node; prints the program's JSON.
guard_flood() {
  local device=(--device eth0) frames=()
  if [[ $1 == frames ]]; then
    frames=(--frames)
    [[ $2 != send ]] || device=()
  fi
  in_ns "$(guard_forger_ns "$2")" "$flood_program" "${frames[@]}" "${device[@]}" --mac "$4" \
    --source "$guard_forger_address" --destination "192.168.56.$3" --inner-source "10.244.$(($3 % 3 + 1)).5" \
    --inner-destination "10.244.$3.5" --count "$packets" --cpu 0
}

# guard_measure FORM WAY NUMBER ROUND. One line of results: FORM, WAY, packets refused, the program's JSON.
guard_measure() {
  local form=$1 way=$2 number=$3 mac=02:00:00:00:00:01 before=0 after=0 result
  if [[ $way != send ]]; then
    mac=$(in_ns "$(node_ns "$way")" ip -json link show eth0 |
      python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["address"])')
    before=$(refused "$way")
  fi
  result=$(guard_flood "$form" "$way" "$number" "$mac") || die "$form, $way, round $4: no result"
  if [[ $way != send ]]; then
    sleep 0.2
    after=$(refused "$way")
  fi
  printf '%s\t%s\t%s\t%s\n' "$form" "$way" "$((after - before))" "$result" >>"$cluster_dir/results"
}

guard_main() {
  local round form way number
  parse_guard_options "$@"
  bench_begin guard_sweep flood podlane-agent agentctl
  guard_set_up
  keep_cpus_awake
  for ((round = 1; round <= rounds; round++)); do
    progress "round $round of $rounds"
    for form in skbs frames; do
      guard_measure "$form" send 1 "$round"
      number=0
      for way in "${guard_ways[@]}"; do
        number=$((number + 1))
        guard_measure "$form" "$way" "$number" "$round"
      done
    done
  done
  progress ''
  python3 "$project_dir/test/bench/report_guard.py" --rounds "$rounds" --load "$load_before" \
    ${json:+--json "$json"} "$cluster_dir/results"
}
