# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Runs CNI plugins as a container runtime does. Sourced after netns.sh; the caller may set
#   cni_store   a folder that plugins have in place of /var/lib, where host-local notes who has which address

# Debian's containernetworking-plugins.
debian_cni_dir=/usr/lib/cni

# cni COMMAND NODE-NAMESPACE POD-NAMESPACE POD-NAME PLUGIN, configuration on stdin: prints what the plugin prints.
cni() {
  local command=$1 node=$2 pod=$3 name=$4 plugin=("$5")
  if [[ -n ${cni_store:-} ]]; then
    mkdir -p "$cni_store"
    # shellcheck disable=SC2016 # the inner shell's
    plugin=(unshare --mount sh -c 'mount --bind "$0" /var/lib && exec "$1"' "$cni_store" "$5")
  fi
  CNI_COMMAND=$command CNI_CONTAINERID=$pod CNI_NETNS=/run/netns/$pod CNI_IFNAME=eth0 \
    CNI_PATH=$bin_dir:$debian_cni_dir CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=$name" \
    nsenter --net="/run/netns/$node" -- "${plugin[@]}"
}

# The first address in a CNI result on stdin, without the prefix length.
cni_result_address() {
  python3 -c 'import json, sys; print(json.load(sys.stdin)["ips"][0]["address"].split("/")[0])'
}
