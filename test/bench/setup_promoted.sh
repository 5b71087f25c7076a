# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Set-up "promoted", of `snat` alone: as "podlane", without serviceCIDRs. A connection's first packet goes through the
# host's stack, which might translate it.

promoted_prefix=$bench_prefix-promoted
promoted_client_ns=$promoted_prefix-pod1
promoted_underlay_ns=("$promoted_prefix-node1" "$promoted_prefix-node2")
promoted_namespaces=("${promoted_underlay_ns[@]}" "$promoted_client_ns")
promoted_server_ns=${promoted_underlay_ns[1]}
promoted_server_address=192.168.56.2

promoted_up() {
  local cluster_prefix=$promoted_prefix cluster_dir=$bench_dir/promoted
  podlane_outside_up "$promoted_client_ns" "${promoted_underlay_ns[@]}" ''
}

promoted_down() {
  local cluster_dir=$bench_dir/promoted
  cluster_remove node1
}
