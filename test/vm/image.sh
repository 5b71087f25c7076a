#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test/vm/image.sh BIN FOLDER: writes FOLDER/base.cpio, the root file system of the virtual machines: busybox, iproute2,
# iptables and what else the tests call, our programs from BIN, and every library that one of them needs. A kernel's
# modules come in an archive of their own (the kernel unpacks several, one after the other).
set -euo pipefail
vm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib/common.sh
source "$vm_dir/../../scripts/lib/common.sh"

programs=$1
out=$2
root=$out/root

# Under the paths that they have here.
tools=(ip tc bridge ss ping arping ethtool nsenter iptables iptables-save iptables-restore iptables-nft
  iptables-nft-save iptables-nft-restore iptables-legacy iptables-legacy-save iptables-legacy-restore nft conntrack ipset ipvsadm
  bpftool sysctl /usr/lib/cni/host-local /usr/lib/cni/bridge /usr/lib/cni/portmap /usr/lib/cni/loopback prlimit setpriv)
own_programs=(podlane-agent agentctl podlane prog_tests net_tests verifier_stats)

copy_file() {
  if [[ ! -e $root$1 ]]; then
    mkdir -p "$root${1%/*}"
    cp --dereference --preserve=mode,timestamps "$1" "$root$1"
  fi
}

# copy_libraries FILE: the loader and the libraries, where the loader looks for them.
copy_libraries() {
  local library
  # A static program has none.
  { ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' || true; } | while read -r library; do
    copy_file "$library"
  done
}

copy_tool() {
  local path
  path=$(command -v "$1") || return 0
  # Before busybox's tool of that name.
  rm -f "$root$path"
  copy_file "$path"
  copy_libraries "$path"
}

lay_out() {
  local applet
  mkdir -p "$root"/{bin,sbin,proc,sys,dev,run,tmp,etc,root,usr/bin,usr/sbin,lib/modules,var/lib/cni,podlane/bin,podlane/log}
  for applet in $(busybox --list); do
    ln -sf /bin/busybox "$root/bin/$applet"
  done
  ln -s /bin/busybox "$root/sbin/modprobe"
  cp --remove-destination "$(command -v busybox)" "$root/bin/busybox"
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
  cp /etc/protocols "$root/etc/" 2>/dev/null || true
  install -m 755 "$vm_dir/guest_init.sh" "$root/init"
}

rm -rf "$root"
lay_out
for tool in "${tools[@]}"; do
  copy_tool "$tool"
done
# The extensions of iptables and tc are loaded by name.
for folder in /usr/lib/x86_64-linux-gnu/xtables /usr/lib/tc; do
  if [[ -d $folder ]]; then
    mkdir -p "$root$folder"
    cp -a "$folder/." "$root$folder/"
  fi
done
for program in "${own_programs[@]}"; do
  strip -o "$root/podlane/bin/$program" "$programs/$program"
  copy_libraries "$programs/$program"
done
(cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio --quiet --null --create --format=newc) >"$out/base.cpio"
rm -rf "$root"
