# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# What the stories of demo.sh share, with the libraries that they stand on. The caller defines remove_all, which takes down
# whatever it brought up and never fails for what is not there.

# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/lib/netns.sh
source "$(dirname "${BASH_SOURCE[0]}")/netns.sh"
# shellcheck source=scripts/lib/cni.sh
source "$(dirname "${BASH_SOURCE[0]}")/cni.sh"
# shellcheck source=scripts/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"
# shellcheck source=scripts/lib/narrate.sh
source "$(dirname "${BASH_SOURCE[0]}")/narrate.sh"

in_pod() {
  local pod=$1
  shift
  in_ns "$(pod_ns "$pod")" "$@"
}

interrupted() {
  printf '\n%s: interrupted, taking it down\n' "${0##*/}" >&2
  exit "$1"
}

remove_all_at_exit() {
  trap remove_all EXIT
  trap 'interrupted 130' INT
  trap 'interrupted 143' TERM
}

# start_capture NAMESPACE FILE ARGUMENTS...: tcpdump, in $capture_pid, for 30 s at most. Returns when it listens.
start_capture() {
  local namespace=$1 dump=$2 log=$cluster_dir/tcpdump.log tries
  shift 2
  : >"$log"
  # Not by in_ns, a function, whose process would be a shell's.
  nsenter --net="/run/netns/$namespace" -- timeout 30 tcpdump "$@" >"$dump" 2>"$log" &
  capture_pid=$!
  for ((tries = 0; tries < 100; tries++)); do
    grep -q 'listening on' "$log" && break
    sleep 0.05
  done
}

# Once it has written what it saw: the kernel hands packets to tcpdump in blocks.
stop_capture() {
  sleep 1
  kill "$capture_pid" 2>/dev/null || true
  wait "$capture_pid" || true
}

# The orderly end of the nodes' agents: each is stopped, and puts back what it changed.
agents_down() {
  local node
  for node in "$@"; do
    agent_stop "$node"
    in_ns "$(node_ns "$node")" "$agent_program" cleanup --config "$cluster_dir/$node/agent.yaml" \
      >>"$cluster_dir/$node/agent.log" 2>&1 || die "podlane-agent cleanup failed: see $cluster_dir/$node/agent.log"
  done
}
