# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# What the scripts share: messages, and the build. Sourced; expects `set -euo pipefail`.

project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Another build folder may be named, for instance one with sanitizers.
build_dir=${PODLANE_BUILD_DIR:-$project_dir/build}
bin_dir=$build_dir/bin

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Wrong arguments: the message and the help, status 2.
usage_error() {
  printf '%s: %s (see --help)\n' "${0##*/}" "$*" >&2
  exit 2
}

# The comment at the top of the script that runs, from its second line on, is its help.
print_help() {
  awk 'NR == 1 { next } !/^#/ { exit } !/SPDX/ { sub(/^# ?/, ""); print }' "$0"
}

require_root() {
  [[ $(id -u) -eq 0 ]] || die "must run as root: it makes network namespaces and loads BPF programs"
}

# build_programs TARGET...: installs what is missing, then builds. Quiet unless it fails.
build_programs() {
  local log
  "$project_dir/scripts/deps.sh" >/dev/null || die "scripts/deps.sh could not install what is missing"
  log=$(mktemp)
  if ! { cmake -S "$project_dir" -B "$build_dir" -G Ninja -DCMAKE_BUILD_TYPE="${PODLANE_BUILD_TYPE:-Release}" &&
    cmake --build "$build_dir" --target "$@"; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "the build failed"
  fi
  rm -f "$log"
}
