#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building, running and testing podlane need.
# Fast when nothing is missing: then it neither updates lists nor asks the mirror.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$project_dir/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/containerd.sh
source "$project_dir/scripts/lib/containerd.sh"

packages=(
  # build
  cmake ninja-build g++ pkg-config clang-19 clang-format-19 clang-tidy-19 llvm-19
  libmnl-dev libiptc-dev libip4tc-dev libcurl4-openssl-dev nlohmann-json3-dev libyaml-dev libyaml-cpp-dev libcli11-dev libfmt-dev
  libmicrohttpd-dev libelf-dev zlib1g-dev libssl-dev libnghttp2-dev libgtest-dev libgmock-dev libbenchmark-dev
  libclang-rt-19-dev
  # run and test
  containernetworking-plugins iproute2 iptables nftables ipset ipvsadm conntrack iputils-ping iputils-arping
  etcd-server
  qemu-system-x86 busybox-static cpio xz-utils
  tcpdump ethtool util-linux procps kmod python3 python3-yaml python3-scapy shellcheck curl ca-certificates
  dpkg-dev file libcap2-bin yamllint
)
# Newer than Debian 12 has them: libbpf >= 1.4 (TCX links), the bpftool that writes skeletons for it, kernel headers.
backported=(libbpf-dev bpftool linux-libc-dev)
libbpf_minimum=1.4

installed() { dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# Programs whose package would start a service: only taken out of it. The tests look for them there, after PATH.
tools_dir=${PODLANE_CACHE:-/var/cache/podlane}/tools
have_tool() { command -v "$1" >/dev/null || [[ -x $tools_dir/usr/bin/$1 ]]; }
have_prometheus() { have_tool prometheus && have_tool promtool; }

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done

libbpf_version() { dpkg-query -W -f='${Version}' libbpf-dev 2>/dev/null | sed 's/^[0-9]*://'; }
need_backports=false
if ! installed bpftool || ! dpkg --compare-versions "$(libbpf_version || echo 0)" ge "$libbpf_minimum"; then
  need_backports=true
fi

if [[ ${#missing[@]} -eq 0 && $need_backports == false ]] && containerd_unpacked && have_prometheus; then
  exit 0
fi
if [[ $(id -u) -ne 0 ]]; then
  die "must run as root to install: ${missing[*]} ${backported[*]} ${containerd_packages[*]} prometheus"
fi

export DEBIAN_FRONTEND=noninteractive
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
options=(-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)

# apt with the configured sources and, beside them, the release's backports from the same mirror. The extra
# source lives in a state of our own, so that the machine's apt configuration stays as it is.
with_backports() {
  local mirror keyring state=$apt_state_root/backports
  mirror=$(debian_mirror)
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$state/lists/partial"
  printf 'deb [signed-by=%s] %s %s main\ndeb [signed-by=%s] %s %s-backports main\n' \
    "$keyring" "$mirror" "$codename" "$keyring" "$mirror" "$codename" >"$state/sources.list"
  options+=(-o Dir::State::Lists="$state/lists" -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null)
  apt-get "${options[@]}" -q update
  apt-get "${options[@]}" -q install -y --no-install-recommends -t "$codename-backports" "${backported[@]}"
}

# unpack_programs PACKAGE PATH...: these files of a package, below tools_dir.
unpack_programs() {
  local package=$1 scratch
  shift
  scratch=$(mktemp -d)
  (cd "$scratch" && apt-get "${options[@]}" -o APT::Sandbox::User=root -q download "$package")
  mkdir -p "$tools_dir"
  dpkg-deb --fsys-tarfile "$scratch/$package"_*.deb | tar -x -C "$tools_dir" "$@"
  rm -rf "$scratch"
}

if ! have_prometheus; then
  apt-get "${options[@]}" -q update
  unpack_programs prometheus ./usr/bin/prometheus ./usr/bin/promtool
fi
if [[ ${#missing[@]} -gt 0 ]]; then
  apt-get "${options[@]}" -q update
  apt-get "${options[@]}" -q install -y --no-install-recommends "${missing[@]}"
  # Tests start their own; Debian's package starts one on the machine.
  if [[ -d /run/systemd/system && " ${missing[*]} " == *" etcd-server "* ]]; then
    systemctl disable --now etcd
  fi
fi
if [[ $need_backports == true ]]; then
  if dpkg --compare-versions "$(apt-cache policy libbpf-dev | awk '/Candidate/ { print $2 }' | sed 's/^[0-9]*://')" ge "$libbpf_minimum"; then
    apt-get "${options[@]}" -q install -y --no-install-recommends "${backported[@]}"
  else
    with_backports
  fi
fi
containerd_unpacked || containerd_unpack
