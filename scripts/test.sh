#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs tests: scripts/test.sh [unit|prog|net|vm|fuzz]...
#                                                  scripts/test.sh vm [OPTIONS], see scripts/test.sh vm --help
#
#   unit  no privileges
#   prog  BPF programs by BPF_PROG_TEST_RUN; root
#   net   network namespaces and real traffic; root
#   fuzz  each target of test/fuzz for FUZZ_SECONDS (10), under AddressSanitizer and UndefinedBehaviorSanitizer
#   vm    programs' verification, prog and the core of net on other kernels, in virtual machines (qemu, emulated)
#
# Without a name: all of them. The last line is "N passed, N failed, N skipped", over all suites. The
# exit status is 0 when something passed and nothing failed. GTEST_FILTER narrows a run, as in googletest; logs are
# left in <build>/test-logs.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# What each suite may take at most, seconds: several times what it needs.
declare -A time_limit=([unit]=180 [prog]=180 [net]=900)
# Net tests wait more than they work, and each process has network and mount namespaces of its own.
declare -A shards_of=([unit]=1 [prog]=1 [net]=4)
fuzz_seconds=${FUZZ_SECONDS:-10}
fuzz_dir=$build_dir-fuzz
log_dir=$build_dir/test-logs

passed=0
failed=0
skipped=0

count() { # PASSED FAILED SKIPPED
  passed=$((passed + $1))
  failed=$((failed + $2))
  skipped=$((skipped + $3))
}

finish() {
  echo "$passed passed, $failed failed, $skipped skipped"
  [[ $failed -eq 0 && $passed -gt 0 ]]
  exit
}

# run_shard SUITE PROGRAM INDEX COUNT: every COUNTth test of a googletest program, within its suite's time. What it
# counted is left in the shard's .totals.
run_shard() {
  local program=$2 status=0 base=$log_dir/$1.$3
  rm -f "$base".*
  GTEST_SHARD_INDEX=$3 GTEST_TOTAL_SHARDS=$4 timeout --kill-after=10 "${time_limit[$1]}" "$program" \
    --gtest_output="json:$base.json" --gtest_color=no >"$base.log" 2>&1 </dev/null || status=$?
  "$project_dir/scripts/lib/gtest_totals.py" "$base.json" "$base.log" "$status" >"$base.totals" || echo 0 1 0 >"$base.totals"
}

# run_program SUITE PROGRAM: one googletest program, in as many shards side by side as it has.
run_program() {
  local suite=$1 program=$2 started=$SECONDS index shards=${shards_of[$1]}
  mkdir -p "$log_dir"
  for ((index = 0; index < shards; index++)); do
    run_shard "$suite" "$program" "$index" "$shards" &
  done
  wait
  for ((index = 0; index < shards; index++)); do
    # shellcheck disable=SC2046 # three numbers
    count $(cat "$log_dir/$suite.$index.totals")
  done
  echo "$suite: $(cat "$log_dir/$suite".*.totals | tr '\n' ';') (passed, failed, skipped) in $((SECONDS - started)) s"
}

# run_fuzz_target PROGRAM: from its seeds. New inputs and crashes stay in the build folder.
run_fuzz_target() {
  local program=$1 name seeds found
  name=$(basename "$program")
  seeds=$project_dir/test/fuzz/seeds/${name#fuzz_}
  found=$fuzz_dir/found/$name
  mkdir -p "$found" "$log_dir"
  if timeout --kill-after=10 $((fuzz_seconds + 60)) "$program" -max_total_time="$fuzz_seconds" -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="$fuzz_dir/crash-$name-" "$found" "$seeds" >"$log_dir/$name.log" 2>&1; then
    echo "$name: $(grep -c . <(ls "$found")) inputs found, no crash"
  else
    echo "FAILED $name:" >&2
    tail -n 40 "$log_dir/$name.log" >&2
    return 1
  fi
}

build_fuzz_targets() {
  local log=$fuzz_dir/build.log
  mkdir -p "$fuzz_dir"
  if ! { cmake -S "$project_dir/test/fuzz" -B "$fuzz_dir" -G Ninja -DCMAKE_C_COMPILER=clang-19 \
    -DCMAKE_CXX_COMPILER=clang++-19 && cmake --build "$fuzz_dir"; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "FAILED: the fuzz targets do not build" >&2
    return 1
  fi
}

suite_fuzz() {
  local target pids=() pid
  build_fuzz_targets || { count 0 1 0; return; }
  for target in "$fuzz_dir"/fuzz_*; do
    if [[ ! -x $target || -d $target ]]; then continue; fi
    run_fuzz_target "$target" &
    pids+=($!)
    # As many at a time as there are processors.
    while [[ $(jobs -rp | wc -l) -ge $(nproc) ]]; do sleep 0.2; done
  done
  for pid in "${pids[@]}"; do
    if wait "$pid"; then count 1 0 0; else count 0 1 0; fi
  done
}

# Kernels stay in a cache outside the tree, and so do the downloaded package lists.
vm_runner=("$project_dir/test/vm/run.py" --bin "$bin_dir" --work "$build_dir/vm" --cache "${PODLANE_CACHE:-/var/cache/podlane}/vm")

suite_vm() {
  local totals=$log_dir/vm.totals
  mkdir -p "$log_dir"
  rm -f "$totals"
  "${vm_runner[@]}" --totals "$totals" "${vm_options[@]}" || true
  # shellcheck disable=SC2046 # three numbers
  count $(cat "$totals" 2>/dev/null || echo 0 1 0)
}

suites=()
vm_options=()
while (($# > 0)); do
  if [[ ${suites[*]} == vm && $1 == -* ]]; then
    vm_options=("$@")
    break
  fi
  suites+=("$1")
  shift
done
if [[ " ${vm_options[*]} " =~ \ (-h|--help)\  ]]; then
  exec "${vm_runner[@]}" --help
fi
for suite in "${suites[@]}"; do
  case $suite in
    unit | prog | net | vm | fuzz) ;;
    -h | --help)
      print_help
      exit 0
      ;;
    *) usage_error "no test suite \"$suite\"" ;;
  esac
done
if [[ ${#suites[@]} -eq 0 ]]; then
  suites=(unit prog net vm fuzz)
fi

# In a subshell: a failed build ends only that, and is counted.
if [[ ${suites[*]} != fuzz ]] && ! (build_programs all); then
  count 0 1 0
  finish
fi
if [[ " ${vm_options[*]} " == *" --shell "* ]]; then
  exec "${vm_runner[@]}" "${vm_options[@]}"
fi
for suite in "${suites[@]}"; do
  echo "== $suite"
  case $suite in
    fuzz) suite_fuzz ;;
    vm) suite_vm ;;
    *) run_program "$suite" "$bin_dir/${suite}_tests" ;;
  esac
done
finish
