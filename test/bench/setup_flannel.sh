# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# SPDX-License-Identifier: Apache-2.0
# Set-up "flannel": what flanneld (backend vxlan) and its CNI configuration make of two nodes, by hand.
#
#   pod eth0 -- cni0 - route - flannel.1 - eth0 192.168.56.1 ---- 192.168.56.2 eth0 - flannel.1 - route - cni0 -- eth0 pod
#
# Per peer one route over <podCIDR>.0, one neighbour and one FDB entry, all permanent; no learning. With $flannel_backend
# host-gw (pods' MTU is the wire's then) per peer one route via the peer. With $server_node outside the second one is a
# host without flannel; what pods send to it is masqueraded.

flannel_client_ns=$bench_prefix-flannel-pod1
flannel_server_ns=$bench_prefix-flannel-pod2
flannel_underlay_ns=("$bench_prefix-flannel-1" "$bench_prefix-flannel-2")
flannel_namespaces=("${flannel_underlay_ns[@]}" "$flannel_client_ns" "$flannel_server_ns")

# As flannel's iptables manager and its nat chain have them; subnets and network as arguments.
flannel_rules() {
  local subnet=$1 network=$2
  cat <<RULES
*nat
:FLANNEL-POSTRTG - [0:0]
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s $subnet -d $network -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s $network -d $subnet -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s $network -d $subnet -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s $network ! -d 224.0.0.0/4 -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s $network -d $network -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
COMMIT
*filter
:FLANNEL-FWD - [0:0]
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s $network -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d $network -m comment --comment "flanneld forward" -j ACCEPT
COMMIT
RULES
}

# What flanneld's host-gw backend sets up.
flannel_host_gw() {
  in_ns "${flannel_underlay_ns[$1 - 1]}" ip route add "10.244.$2.0/24" via "192.168.56.$2" dev eth0
}

# What its vxlan backend does.
flannel_vxlan() {
  local self=$1 peer=$2 namespace=${flannel_underlay_ns[$1 - 1]}
  local peer_mac=0e:61:06:ff:7a:0$peer
  in_ns "$namespace" ip link add flannel.1 address "0e:61:06:ff:7a:0$self" mtu 1450 type vxlan \
    id 1 local "192.168.56.$self" dev eth0 dstport 8472 nolearning
  in_ns "$namespace" ip address add "10.244.$self.0/32" dev flannel.1
  in_ns "$namespace" ip link set flannel.1 up
  in_ns "$namespace" ip route add "10.244.$peer.0/24" via "10.244.$peer.0" dev flannel.1 onlink
  in_ns "$namespace" ip neighbour add "10.244.$peer.0" lladdr "$peer_mac" dev flannel.1 nud permanent
  in_ns "$namespace" bridge fdb add "$peer_mac" dev flannel.1 dst "192.168.56.$peer" self permanent
}

# flannel_node INDEX PEER-INDEX: node N has address 192.168.56.N, podCIDR 10.244.N.0/24 and VTEP MAC 0e:...:0N.
flannel_node() {
  local self=$1 peer=$2 namespace=${flannel_underlay_ns[$1 - 1]}
  if [[ $flannel_backend == host-gw ]]; then
    flannel_host_gw "$self" "$peer"
  else
    flannel_vxlan "$self" "$peer"
  fi
  in_ns "$namespace" sysctl -qw net.ipv4.ip_forward=1
  flannel_rules "10.244.$self.0/24" 10.244.0.0/16 | in_ns "$namespace" iptables-restore --noflush
}

# What flannel's CNI plugin hands to the bridge plugin.
flannel_cni_config() {
  cat <<JSON
{"cniVersion": "0.3.1", "name": "cbr0", "type": "bridge", "mtu": $flannel_mtu, "hairpinMode": true, "ipMasq": false,
 "isGateway": true, "isDefaultGateway": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.$1.0/24"}]], "routes": [{"dst": "10.244.0.0/16"}],
          "dataDir": "$bench_dir/flannel/node$1"}}
JSON
}

# flannel_pod INDEX POD-NAMESPACE: prints the pod's address.
flannel_pod() {
  flannel_cni_config "$1" |
    cni ADD "${flannel_underlay_ns[$1 - 1]}" "$2" "pod$1" "$debian_cni_dir/bridge" | cni_result_address
}

flannel_up() {
  local namespace
  for namespace in "${flannel_namespaces[@]}"; do
    ns_create "$namespace"
  done
  ns_join "${flannel_underlay_ns[0]}" 192.168.56.1/24 "${flannel_underlay_ns[1]}" 192.168.56.2/24
  flannel_node 1 2
  flannel_pod 1 "$flannel_client_ns" >/dev/null
  if [[ $server_node == outside ]]; then
    flannel_server_ns=${flannel_underlay_ns[1]} flannel_server_address=192.168.56.2
  else
    flannel_node 2 1
    flannel_server_address=$(flannel_pod "$server_node" "$flannel_server_ns")
  fi
}

# Namespaces take everything with them; host-local's files lie in the benchmark's folder.
flannel_down() {
  :
}
