# shellcheck shell=bash disable=SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Debian packages of any suite, from the mirror that the machine is configured with, in an apt state of its own: neither
# the machine's sources nor its lists change. Sourced after common.sh.

apt_state_root=${PODLANE_CACHE:-/var/cache/podlane}/apt

# The mirror of the release that this machine runs.
debian_mirror() {
  local codename mirror
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016 # the names are apt's
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk -v release="$codename" '$2 == release { print $1; exit }')
  [[ -n $mirror ]] || die "no apt source for Debian $codename is configured"
  echo "$mirror"
}

# apt_private SUITE get|cache ARGUMENTS...
apt_private() {
  local state=$apt_state_root/$1 program=apt-$2
  shift 2
  "$program" -o Dir::State::Lists="$state/lists" -o Dir::Cache="$state/cache" \
    -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

apt_private_update() {
  local state=$apt_state_root/$1
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$(debian_mirror)" "$1" \
    >"$state/sources.list"
  apt_private "$1" get -qq update || die "cannot read the package lists of Debian $1"
}
