#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# in_image.sh ROOT CAPABILITIES ARGUMENTS...: becomes the agent of the image at ROOT as deploy/podlane.yaml has a
# container runtime start it, but for the process namespace: the root and /proc/sys read-only, the mounts that the
# manifest lists, and of all capabilities only CAPABILITIES ("cap_net_admin,cap_bpf"). What the tests' agents write is
# mounted at its own name.
set -eu

if [ "${IN_IMAGE:-}" != yes ]; then
  # prepare-node's part, for the node: agents of tests have bpffs of their own.
  config=$4
  bpffs=$(sed -n 's,^bpffs: \(.*\)/[^/]*$,\1,p' "$config")
  mountpoint -q "$bpffs" || mount -t bpf -o mode=0700 bpf "$bpffs"
  IN_IMAGE=yes exec unshare --mount --propagation slave "$0" "$@"
fi

root=$1
keep=$2
shift 2
files=/run/podlane-net-test
mount --bind "$root" "$root"
mkdir -p "$root$files" "$root/host/proc/sys/net"
: >>"$root/run/xtables.lock"
mount --rbind "$files" "$root$files"
mount --rbind /run/netns "$root/run/netns"
mount --bind /run/xtables.lock "$root/run/xtables.lock"
mount -t tmpfs tmpfs "$root/run/podlane"
mount -t tmpfs tmpfs "$root/var/lib/podlane"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys/net" "$root/host/proc/sys/net"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --rbind -o ro /sys "$root/sys"
mount -o remount,bind,ro "$root"

# All that this kernel knows but those to keep.
all=$(capsh --decode="$(sed -n 's/^CapBnd:\t//p' /proc/self/status)" | sed 's/.*=//')
drop=$(echo "$all" | tr , '\n' | grep -v -x -F "$(echo "$keep" | tr , '\n')" | paste -s -d ,)
exec capsh --chroot="$root" --drop="$drop" --shell=/usr/sbin/podlane-agent -- "$@"
