# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Set-up "raw": two hosts and the wire between them, the upper bound.
#
#   raw-1 eth0 192.168.56.1 ---- 192.168.56.2 eth0 raw-2

raw_client_ns=$bench_prefix-raw-1
raw_server_ns=$bench_prefix-raw-2
raw_underlay_ns=("$raw_client_ns" "$raw_server_ns")
raw_namespaces=("${raw_underlay_ns[@]}")

raw_up() {
  ns_create "$raw_client_ns"
  ns_create "$raw_server_ns"
  ns_join "$raw_client_ns" 192.168.56.1/24 "$raw_server_ns" 192.168.56.2/24
  raw_server_address=192.168.56.2
}

raw_down() {
  :
}
