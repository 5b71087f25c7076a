#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# /init of the virtual machines. Runs the suites that /podlane/settings names (suites=verifier prog net)
# and writes KTAP to the second serial port; the first is the kernel's and a person's. Then the machine is switched off.
# With shell=yes there is a prompt instead.
export PATH=/podlane/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/netns /dev/pts /run/lock
mount -t devpts devpts /dev/pts
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
# A message on the console costs an emulated machine milliseconds.
dmesg -n 4

# Some segments of every size and some thousand packets; gigabytes are for machines that are not emulated.
export PODLANE_TEST_BULK_LIMIT=8000000 PODLANE_TEST_MUTATIONS=40

results=/dev/ttyS1
setting() { # NAME: its value
  sed -n "s/^$1=//p" /podlane/settings
}

# A suite's KTAP comes out of the program line by line; its own words are kept for when it fails.
run_suite() {
  case $1 in
  verifier)
    verifier_stats >/podlane/log/verifier 2>&1
    status=$?
    # As diagnostics: the host compares them.
    sed 's/^/# verifier /' /podlane/log/verifier >$results
    return $status
    ;;
  prog | net)
    filter=$(setting "$1_filter")
    KTAP_OUTPUT=$results "$1_tests" --gtest_brief=1 ${filter:+--gtest_filter=$filter} >"/podlane/log/$1" 2>&1
    ;;
  *)
    echo "# no suite is called $1" >$results
    return 1
    ;;
  esac
}

run_suites() {
  number=0
  # shellcheck disable=SC2046 # words
  set -- $(setting suites)
  printf 'KTAP version 1\n1..%d\n' $# >$results
  for suite in "$@"; do
    number=$((number + 1))
    printf '  # Subtest: %s\n' "$suite" >$results
    if run_suite "$suite"; then
      printf 'ok %d %s\n' $number "$suite" >$results
    else
      status=$?
      printf 'not ok %d %s\n# ended with %d; the end of what it wrote:\n' $number "$suite" $status >$results
      tail -n 60 "/podlane/log/$suite" | sed 's/^/# /' >$results
    fi
  done
  printf '# kernel %s, up %s s\n' "$(uname -r)" "$(cut -d ' ' -f 1 /proc/uptime)" >$results
}

if [ "$(setting shell)" = yes ]; then
  echo "podlane's programs are in /podlane/bin; \`poweroff -f\` ends the machine."
  setsid cttyhack sh
else
  stty -F $results raw
  run_suites
fi
sync
poweroff -f
