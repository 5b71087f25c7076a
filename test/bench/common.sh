# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the scripts that source this
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

# take_options "NAME..." OPTIONS...: `--NAME VALUE` sets $NAME; --quick is the benchmark's own quick_options.
take_options() {
  local known=" $1 " name
  shift
  while (($# > 0)); do
    case $1 in
    --quick) quick_options ;;
    -h | --help) print_help && exit 0 ;;
    *)
      name=${1#--}
      [[ $1 =~ ^--[a-z]+$ && $known == *" $name "* ]] || usage_error "unknown option $1"
      (($# >= 2)) || usage_error "$1 needs a value"
      printf -v "$name" %s "$2"
      shift
      ;;
    esac
    shift
  done
}

# Of the options that every benchmark has.
check_common_options() {
  [[ $rounds =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "--rounds $rounds: not a number from 1 to 999"
  if [[ -n $json ]]; then
    : >>"$json" || die "cannot write $json"
  fi
}

# bench_begin SWEEP PROGRAM...: alone on the machine, as far as that is ours to say; builds; SWEEP now, and at the end
# however it comes. Takes the load first, before the build adds to it.
bench_begin() {
  local sweep=$1
  shift
  require_root
  take_bench_lock
  load_before=$(cut -d ' ' -f 1 /proc/loadavg)
  build_programs "$@"
  # The name of a function.
  # shellcheck disable=SC2064
  trap "$sweep" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  "$sweep"
}

progress() {
  if [[ -t 2 ]]; then
    printf '\r\033[K%s' "$*" >&2
  fi
}
