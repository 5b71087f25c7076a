# shellcheck shell=bash disable=SC2034 # variables are shared with the scripts that source this
# SPDX-License-Identifier: Apache-2.0
# What the benchmarks share. Sourced by them, after scripts/lib/common.sh.

bench_prefix=podlane-bench
bench_dir=/run/podlane-bench
bench_lock=/run/podlane-bench.lock

# One benchmark at a time: they share names, and disturb one another.
take_bench_lock() {
  exec {lock_fd}>"$bench_lock"
  flock --nonblock "$lock_fd" || die "another benchmark is running"
}

# Waking a virtual CPU that has halted costs several times the paths that are compared, and is the hypervisor's, not
# ours: idle CPUs poll instead, as under idle=poll, for as long as this file is open (Documentation/power/pm_qos_interface).
keep_cpus_awake() {
  if [[ -w /dev/cpu_dma_latency ]]; then
    exec {latency_fd}>/dev/cpu_dma_latency
    printf '\0\0\0\0' >&"$latency_fd"
  fi
}

progress() {
  if [[ -t 2 ]]; then
    printf '\r\033[K%s' "$*" >&2
  fi
}
