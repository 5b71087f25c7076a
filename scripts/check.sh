#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What every change is held to: scripts/check.sh [lint|format|shell|tidy|sanitizers]... (default: all of them).
#   lint        layering, sizes, words (scripts/lint)
#   format      clang-format
#   shell       shellcheck
#   tidy        clang-tidy, every finding an error; TIDY_FILES=REGEX narrows it
#   sanitizers  the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."

build_dir=${BUILD_DIR:-build}
steps=("$@")
if [[ ${#steps[@]} -eq 0 ]]; then
  steps=(lint format shell tidy sanitizers)
fi

project_files() { # PATTERN...: what git knows or would add
  git ls-files -z --cached --others --exclude-standard -- "$@" |
    while IFS= read -r -d '' file; do
      if [[ -f $file ]]; then printf '%s\0' "$file"; fi
    done
}

check_lint() {
  local failed=0 lint
  for lint in layering size words; do
    python3 "scripts/lint/$lint.py" || failed=1
  done
  return "$failed"
}

check_format() {
  project_files '*.c' '*.h' '*.cpp' | xargs -0 -r clang-format-19 --dry-run -Werror
}

check_shell() {
  { project_files '*.sh' && project_files .ci/run deploy/image/prepare-node 'deploy/debian/p*inst' 'deploy/debian/p*rm'; } | xargs -0 -r shellcheck -x -P SCRIPTDIR
}

check_tidy() {
  cmake -B "$build_dir" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null || return 1
  # What the compiler would include has to be there: the skeletons.
  ninja -C "$build_dir" -t targets all | sed -n 's/^\([^:/]*_skeleton_header\): phony$/\1/p' |
    xargs -r ninja -C "$build_dir" >/dev/null || return 1
  run-clang-tidy-19 -quiet -p "$build_dir" -j "$(nproc)" "^$PWD/${TIDY_FILES:-(maps|loader|agent|test)/}" 2>/dev/null |
    { grep -v -e '^$' -e 'warnings generated' -e '^\[[ 0-9/]*\]\[' || true; }
}

check_sanitizers() {
  cmake --preset sanitizer >/dev/null || return 1
  cmake --build --preset sanitizer --target unit_tests || return 1
  build-sanitizer/bin/unit_tests --gtest_brief=1
}

scripts/deps.sh
failed=()
for step in "${steps[@]}"; do
  case $step in
    lint | format | shell | tidy | sanitizers) ;;
    *)
      echo "usage: scripts/check.sh [lint|format|shell|tidy|sanitizers]..." >&2
      exit 2
      ;;
  esac
  echo "== $step"
  "check_$step" || failed+=("$step")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "failed: ${failed[*]}"
  exit 1
fi
echo "all checks passed: ${steps[*]}"
