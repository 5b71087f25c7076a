#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/bench.sh overlay [OPTIONS]: the wire, the kernel's own path as flannel sets it up, and podlane (real agents,
# pods attached by the CNI plugin), side by side in one run. Prints medians and ratios; only ratios mean anything.
#
# scripts/bench.sh direct [OPTIONS]: the same between adjacent nodes, beside flannel's host-gw backend.
# scripts/bench.sh local [OPTIONS]: the same between two pods of one node, beside the bridge.
# scripts/bench.sh snat [OPTIONS]: from a pod to a host outside the cluster, beside flannel's MASQUERADE --random-fully and
# conntrack; with serviceCIDRs configured, and without them ("promoted").
#
# scripts/bench.sh guard [OPTIONS]: a flood of spoofed VXLAN packets into a node with the XDP guard in the driver, with the
# generic one, and with the checks at tc alone. Runs as root, in network namespaces of its own, as all do.
#
# Of overlay, direct, local and snat:
#   --rounds N         interleaved rounds (default 5)
#   --seconds S        length of one measurement (default 1)
#   --quick            3 rounds of 0.4 s: a first look, with wide scatter
#   --services A,B,..  numbers of kube-proxy services for connect-request-close (default 0,1000,5000; 0 but for overlay)
#   --setups A,B,..    of raw, flannel, podlane, promoted (default all that the benchmark has)
#   --json FILE        every single value, medians, ratios and floors
# Of guard:
#   --rounds N         interleaved rounds (default 5)
#   --packets N        in one flood (default 1000000)
#   --quick            3 rounds of 200,000 packets
#   --json FILE        every single value, medians and ratios
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1:-} in
overlay | direct | local | snat)
  # shellcheck source=test/bench/overlay.sh
  source "$project_dir/test/bench/overlay.sh"
  overlay_main "$@"
  ;;
guard)
  shift
  # shellcheck source=test/bench/guard.sh
  source "$project_dir/test/bench/guard.sh"
  guard_main "$@"
  ;;
-h | --help)
  print_help
  ;;
*)
  usage_error "say which benchmark: overlay, direct, local, snat or guard"
  ;;
esac
