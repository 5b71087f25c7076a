#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test/vm/kernels.sh LINE CACHE: downloads the kernel of that line of kernels.txt and unpacks it, without installing
# anything. Prints the folder, which then holds
#   vmlinuz       the kernel
#   release       its `uname -r`
#   modules.cpio  lib/modules/RELEASE of it, uncompressed, with what of modules.txt it has
# Asks the mirror only when the folder is not there yet. The apt state is its own: the machine's stays as it is.
set -euo pipefail
vm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib/common.sh
source "$vm_dir/../../scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$project_dir/scripts/lib/apt.sh"

line=$1
cache=$2
read -r suite wanted < <(awk -v line="$line" '$1 == line { print $2, $3 }' "$vm_dir/kernels.txt") ||
  die "kernels.txt has no line $line"

# The packages that hold kernel and modules of a release: since 7.x they are two.
packages_of() {
  if [[ -n $(apt_private "$suite" cache show "linux-binary-$1" 2>/dev/null) ]]; then
    echo "linux-binary-$1 linux-modules-$1"
  else
    echo "linux-image-$1"
  fi
}

# Releases of the line that the archive lists, newest first.
releases_of_line() {
  apt_private "$suite" cache --names-only search "^linux-(image|binary)-${line//./\\.}[.-][^ ]*-cloud-amd64$" |
    sed -E 's/^linux-(image|binary)-([^ ]*) .*/\2/' | sort -Vru
}

# download RELEASE FOLDER: false when the archive does not have it.
download() {
  local packages
  packages=$(packages_of "$1")
  # shellcheck disable=SC2086 # two names
  (cd "$2" && apt_private "$suite" get -qq download $packages) >/dev/null 2>&1
}

fetch_release() {
  local release
  if download "$wanted" "$1"; then
    echo "$wanted"
    return
  fi
  for release in $(releases_of_line); do
    if download "$release" "$1"; then
      echo "notice: Linux $wanted has left $suite; taking $release (test/vm/kernels.txt names the former)" >&2
      echo "$release"
      return
    fi
  done
  die "no cloud kernel of line $line can be had from $suite"
}

# unpack_modules FROM TO RELEASE: what modules.txt names and what that needs.
unpack_modules() {
  local from=$1 to=$2/lib/modules/$3 module path
  find "$from/lib/modules/$3" -name '*.xz' -exec xz -d {} +
  # Since 7.x the packages lack these lists, and depmod warns about that.
  touch "$from/lib/modules/$3"/modules.{builtin,builtin.modinfo,order}
  depmod -b "$from" "$3"
  mkdir -p "$to"
  cp "$from/lib/modules/$3"/modules.{builtin,builtin.modinfo,order} "$to/"
  local modules
  read -r -d '' -a modules < <(grep -v '^#' "$vm_dir/modules.txt") || true
  for module in "${modules[@]}"; do
    modprobe -d "$from" -S "$3" --show-depends "$module" 2>/dev/null || true
  done | awk '$1 == "insmod" { print $2 }' | sort -u |
    while read -r path; do
      path=${path#"$from"/}
      install -D -m 644 "$from/$path" "$2/$path"
    done
  depmod -b "$2" "$3"
}

# The list of modules is part of the folder's name: another list is another folder.
target=$cache/$line-$wanted-$(cksum <"$vm_dir/modules.txt" | cut -d ' ' -f 1)
if [[ ! -e $target/release ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/debs" "$work/root" "$work/out"
  apt_private_update "$suite"
  release=$(fetch_release "$work/debs")
  for package in "$work/debs"/*.deb; do
    dpkg-deb --extract "$package" "$work/root"
  done
  if [[ ! -e $work/root/lib ]]; then
    ln -s usr/lib "$work/root/lib"
  elif [[ -d $work/root/usr/lib/modules && ! -d $work/root/lib/modules ]]; then
    mv "$work/root/usr/lib/modules" "$work/root/lib/"
  fi
  cp "$(find "$work/root" -name 'vmlinuz*' -type f | head -n 1)" "$work/out/vmlinuz"
  unpack_modules "$work/root" "$work/modules" "$release"
  (cd "$work/modules" && find . -print0 | cpio --quiet --null --create --format=newc) >"$work/out/modules.cpio"
  echo "$release" >"$work/out/release"
  rm -rf "$target"
  mkdir -p "$cache"
  mv "$work/out" "$target"
fi
echo "$target"
