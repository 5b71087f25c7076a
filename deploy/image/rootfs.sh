#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the root file system of podlane's image: deploy/image/rootfs.sh BUILD-FOLDER NEW-FOLDER
#
# podlane as `cmake --install` puts it from a finished build, and the files of the Debian packages that
# deploy/image/packages names, taken from this machine, which has them installed since it built podlane. deploy/Dockerfile
# does nothing else. Needs root, so that files belong to root; NEW-FOLDER must be empty or absent.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

[[ $# -eq 2 ]] || die "usage: rootfs.sh BUILD-FOLDER NEW-FOLDER"
build=$1
root=$2
mkdir -p "$root"
[[ -z $(ls -A "$root") ]] || die "$root is not empty"
root=$(cd "$root" && pwd)
mapfile -t packages < <(grep -v '^#' "$source_dir/packages")

# As on any Debian, /bin and its like are names of what is in /usr.
make_skeleton() {
  local name
  mkdir -p "$root"/{dev,etc,host,proc,run,sys,tmp,usr,var/lib}
  for name in bin lib lib64 sbin; do
    mkdir -p "$root/usr/$name"
    ln -s "usr/$name" "$root/$name"
  done
  ln -s ../run "$root/var/run"
  chmod 1777 "$root/tmp"
  # The container runtime mounts over them where the root is read-only.
  mkdir -p "$root"/{etc/podlane,run/podlane,var/lib/podlane,run/netns,sys/fs/bpf}
}

# Files that a running podlane can do without: all documentation but the licences, and translations.
wanted_file() {
  grep -v -E '^/usr/share/(doc/[^/]*/(changelog|NEWS|README|T[O]DO|AUTHORS|examples)|man|info|locale|lintian|bash-completion|initramfs-tools)' |
    grep -v -E '^/etc/(ld\.so|ca-certificates|init)'
}

copy_package() {
  local package=$1 list
  list=$(dpkg-query --listfiles "$package" 2>/dev/null) || die "package $package is not installed: run scripts/deps.sh"
  wanted_file <<<"$list" | while IFS= read -r file; do
    # Folders come with what is in them.
    if [[ -L $file || -f $file ]]; then echo ".$file"; fi
  done | sed -E 's,^\./(bin|sbin|lib|lib64)/,./usr/\1/,' | sort -u |
    tar --create --directory=/ --files-from=- | tar --extract --directory="$root" --keep-directory-symlink
  # What image scanners look for.
  mkdir -p "$root/var/lib/dpkg/status.d"
  dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/$package"
}

install_podlane() {
  DESTDIR=$root cmake --install "$build" --prefix /usr --component runtime --strip >/dev/null
  install -D -m 0755 "$source_dir/prepare-node" "$root/usr/lib/podlane/prepare-node"
  install -D -m 0644 "$source_dir/../../LICENSE" "$root/usr/share/doc/podlane/LICENSE"
}

# A shell and its tools; and one file of all authorities, as update-ca-certificates makes it.
finish() {
  local tool
  for tool in sh cat chmod cmp cp grep ls mkdir mount mv rm sed; do
    [[ -e $root/bin/$tool ]] || ln -s /bin/busybox "$root/bin/$tool"
  done
  mkdir -p "$root/etc/ssl/certs"
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
  printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
  : >"$root/etc/ld.so.conf"
  ldconfig -r "$root"
}

# Inside, where only what was copied can be found.
check_libraries() {
  local program listed missing
  for program in /usr/sbin/podlane-agent /usr/bin/agentctl; do
    # The loader itself fails for a program that it cannot read, and for a library that is not there.
    listed=$(chroot "$root" /lib64/ld-linux-x86-64.so.2 --list "$program" 2>&1) || die "$program cannot be loaded: $listed"
    missing=$(grep 'not found' <<<"$listed" || true)
    [[ -z $missing ]] || die "$program lacks libraries, to be named in deploy/image/packages: $missing"
  done
}

umask 022
make_skeleton
for package in "${packages[@]}"; do
  copy_package "$package"
done
install_podlane
finish
check_libraries
