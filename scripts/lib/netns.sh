# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Network namespaces and processes in them. Sourced after common.sh.

# in_ns NAMESPACE COMMAND...: not `ip netns exec`, which mounts a new /sys and so hides pinned BPF maps.
in_ns() {
  local namespace=$1
  shift
  nsenter --net="/run/netns/$namespace" -- "$@"
}

ns_exists() {
  [[ -e /run/netns/$1 ]]
}

ns_create() {
  ip netns add "$1" || die "cannot create the network namespace $1"
  in_ns "$1" ip link set lo up
}

ns_delete() {
  if ns_exists "$1"; then
    ip netns delete "$1"
  fi
}

# ns_join NAMESPACE1 ADDRESS1/LENGTH NAMESPACE2 ADDRESS2/LENGTH: a veth pair, eth0 in both.
ns_join() {
  ip link add eth0 netns "$1" type veth peer name eth0 netns "$3"
  in_ns "$1" ip address add "$2" dev eth0
  in_ns "$3" ip address add "$4" dev eth0
  in_ns "$1" ip link set eth0 up
  in_ns "$3" ip link set eth0 up
}

# A process that stays must not keep what this shell has open: the lock that one run holds.
close_inherited_files() {
  local path fd
  for path in /proc/"$BASHPID"/fd/*; do
    fd=${path##*/}
    if ((fd > 2 && fd != 255)); then
      eval "exec $fd>&-"
    fi
  done
}

# ns_daemon NAMESPACE PIDFILE LOGFILE PROGRAM ARGUMENTS...: in a session of its own, so that Ctrl-C reaches the script
# alone. Returns when the process runs PROGRAM.
ns_daemon() {
  local namespace=$1 pidfile=$2 log=$3 tries
  shift 3
  (
    close_inherited_files
    exec setsid nsenter --net="/run/netns/$namespace" -- "$@"
  ) </dev/null >>"$log" 2>&1 &
  echo $! >"$pidfile"
  for ((tries = 0; tries < 200; tries++)); do
    if daemon_alive "$pidfile" "$1" || [[ ! -e /proc/$! ]]; then
      return 0
    fi
    sleep 0.01
  done
  die "$1 did not start in 2 s: see $log"
}

# daemon_alive PIDFILE PROGRAM: whether the process is there and runs a program of that name: a number may have been
# reused since.
daemon_alive() {
  local pid executable
  [[ -s $1 ]] || return 1
  pid=$(<"$1")
  executable=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 1
  executable=${executable% (deleted)}
  [[ ${executable##*/} == "${2##*/}" ]]
}

# stop_daemon PIDFILE PROGRAM: SIGTERM, and SIGKILL when it has not ended after 5 s.
stop_daemon() {
  local pid tries
  if daemon_alive "$1" "$2"; then
    pid=$(<"$1")
    kill -TERM "$pid" 2>/dev/null || true
    for ((tries = 0; tries < 100; tries++)); do
      daemon_alive "$1" "$2" || break
      sleep 0.05
    done
    if daemon_alive "$1" "$2"; then
      kill -KILL "$pid" 2>/dev/null || true
    fi
  fi
  rm -f "$1"
}
