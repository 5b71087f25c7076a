# shellcheck shell=bash disable=SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# containerd and runc for the net suite, unpacked from Debian's packages and not installed: the package starts a daemon
# and takes the place of the containerd that Docker brings. Sourced after apt.sh.

containerd_packages=(containerd runc)
containerd_dir=${PODLANE_CACHE:-/var/cache/podlane}/containerd
containerd_programs=(usr/bin/containerd usr/bin/containerd-shim-runc-v2 usr/bin/ctr usr/sbin/runc)

containerd_unpacked() {
  local program
  for program in "${containerd_programs[@]}"; do
    [[ -x $containerd_dir/bin/${program##*/} ]] || return 1
  done
}

# All of it or nothing: the folder appears by a rename.
containerd_unpack() {
  local next=$containerd_dir.next package program
  rm -rf "$next" "$containerd_dir"
  mkdir -p "$next/bin" "$next/packages"
  (
    cd "$next/packages"
    download() { apt-get -o Acquire::Retries=3 -o APT::Sandbox::User=root -q download "${containerd_packages[@]}"; }
    # Lists that are older than the mirror name versions it has no longer.
    download || { apt-get -o Acquire::Retries=3 -q update && download; }
  ) || die "cannot download ${containerd_packages[*]}"
  for package in "$next"/packages/*.deb; do
    dpkg-deb -x "$package" "$next/root"
  done
  for program in "${containerd_programs[@]}"; do
    mv "$next/root/$program" "$next/bin/"
  done
  rm -r "$next/packages" "$next/root"
  mv "$next" "$containerd_dir"
}
