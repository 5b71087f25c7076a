#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a cluster state of any size: Node and Pod objects as `kubectl get nodes,pods -A` prints them.

The same options always give the same bytes. Node i is n<i> with InternalIP 172.16.0.0 + i and the i-th /24 of the
cluster CIDR (10.0.0.0/8 by default); pod j runs on node j modulo the number of nodes.

    make_state.py --nodes 5000 --pods 20000 state.json                    one List, about 23 MB
    make_state.py --nodes 5000 --pods 20000 --directory state.d           one file per object
    make_state.py --nodes 2 --pods 4 --format yaml state.yaml
"""

import argparse
import ipaddress
import json
import pathlib
import uuid

PADDING_LABELS = {
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/part-of": "storefront",
    "pod-template-hash": "6d4b75cb6d",
}

# The keys are what makes kubectl's YAML hard to scan: plain scalars with braces and quotes in them.
MANAGED_FIELDS = [
    {
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {"f:conditions": {".": {}, 'k:{"type":"Ready"}': {"f:status": {}, "f:type": {}}}}},
        "manager": "kubelet",
        "operation": "Update",
        "time": "2026-11-21T22:51:02Z",
    },
]


def uid(kind, index):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{kind}-{index}.podlane.io"))


def node_address(index):
    return str(ipaddress.IPv4Address("172.16.0.0") + index + 1)


def pod_cidr(cluster, index):
    return ipaddress.ip_network((int(cluster.network_address) + index * 256, 24))


def node(cluster, index):
    name = f"n{index}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "annotations": {
                "flannel.alpha.coreos.com/backend-data": json.dumps(
                    {"VNI": 1, "VtepMAC": "02:00:" + ":".join(f"{b:02x}" for b in index.to_bytes(4, "big"))},
                    separators=(",", ":")),
                "flannel.alpha.coreos.com/backend-type": "vxlan",
                "flannel.alpha.coreos.com/kube-subnet-manager": "true",
                "flannel.alpha.coreos.com/public-ip": node_address(index),
                "node.alpha.kubernetes.io/ttl": "0",
            },
            "creationTimestamp": "2026-11-21T22:50:20Z",
            "labels": {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            "managedFields": MANAGED_FIELDS,
            "name": name,
            "resourceVersion": str(1000 + index),
            "uid": uid("node", index),
        },
        "spec": {"podCIDR": str(pod_cidr(cluster, index)), "podCIDRs": [str(pod_cidr(cluster, index))]},
        "status": {
            "addresses": [
                {"address": node_address(index), "type": "InternalIP"},
                {"address": name, "type": "Hostname"},
            ],
            "conditions": [
                {
                    "lastHeartbeatTime": "2026-11-21T22:50:41Z",
                    "message": "kubelet is posting ready status",
                    "reason": "KubeletReady",
                    "status": "True",
                    "type": "Ready",
                },
            ],
        },
    }


def pod(cluster, index, nodes):
    on = index % nodes
    address = str(pod_cidr(cluster, on).network_address + 2 + (index // nodes) % 250)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "creationTimestamp": "2026-11-21T22:51:02Z",
            "labels": {"app": f"app-{index % 97}", **PADDING_LABELS},
            "managedFields": MANAGED_FIELDS,
            "name": f"app-{index % 97}-{index}",
            "namespace": f"team-{index % 13}",
            "resourceVersion": str(100000 + index),
            "uid": uid("pod", index),
        },
        "spec": {
            "containers": [
                {"image": "registry.example.com/storefront/app:1.14.2", "name": "app", "resources": {}},
            ],
            "nodeName": f"n{on}",
            "restartPolicy": "Always",
            "tolerations": None,
        },
        "status": {
            "hostIP": node_address(on),
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "qosClass": "BestEffort",
            "startTime": "2026-11-21T22:51:02Z",
        },
    }


def scalar(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    # As kubectl: plain where that reads back as the same text.
    plain = value and value not in ("true", "false", "null", "True", "False") and not value[0].isdigit()
    plain = plain and all(c.isalnum() or c in "-_./:" for c in value) and ": " not in value
    return value if plain or value.count(".") == 3 and value.replace(".", "").isdigit() else "'" + value + "'"


def yaml_lines(value, indent):
    """The lines of a map or list, block style, lists not indented: what sigs.k8s.io/yaml writes."""
    space = "  " * indent
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict) and item:
                first, *rest = yaml_lines(item, indent + 1)
                yield space + "- " + first.lstrip()
                yield from rest
            else:
                yield space + "- " + scalar(item)
        return
    for key, item in value.items():
        if isinstance(item, (dict, list)) and item:
            yield f"{space}{key}:"
            yield from yaml_lines(item, indent + (0 if isinstance(item, list) else 1))
        elif isinstance(item, (dict, list)):
            yield f"{space}{key}: " + ("{}" if isinstance(item, dict) else "[]")
        else:
            yield f"{space}{key}: {scalar(item)}"


def text(value, style):
    if style == "json":
        return json.dumps(value, separators=(",", ":")) + "\n"
    return "\n".join(yaml_lines(value, 0)) + "\n"


def write_list(objects, style, path):
    with open(path, "w", encoding="utf-8") as out:
        if style == "json":
            out.write('{"apiVersion":"v1","items":[\n')
            for index, item in enumerate(objects):
                out.write((",\n" if index else "") + json.dumps(item, separators=(",", ":")))
            out.write('\n],"kind":"List","metadata":{"resourceVersion":"","selfLink":""}}\n')
            return
        out.write("apiVersion: v1\nitems:\n")
        for item in objects:
            out.write("\n".join(yaml_lines([item], 0)) + "\n")
        out.write('kind: List\nmetadata:\n  resourceVersion: ""\n  selfLink: ""\n')


def write_directory(objects, style, path):
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    for item in objects:
        name = f"{item['kind'].lower()}-{item['metadata']['name']}.{style}"
        (folder / name).write_text(text(item, style), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=20000)
    parser.add_argument("--cluster-cidr", type=ipaddress.ip_network, default=ipaddress.ip_network("10.0.0.0/8"))
    parser.add_argument("--format", choices=("json", "yaml"), default="json")
    parser.add_argument("--directory", action="store_true", help="OUTPUT is a directory: one file per object")
    parser.add_argument("output", metavar="OUTPUT")
    options = parser.parse_args()
    if options.nodes < 1 or options.nodes * 256 > options.cluster_cidr.num_addresses:
        parser.error(f"{options.cluster_cidr} has no room for {options.nodes} nodes")

    objects = [node(options.cluster_cidr, i) for i in range(options.nodes)]
    objects += [pod(options.cluster_cidr, i, options.nodes) for i in range(options.pods)]
    write = write_directory if options.directory else write_list
    write(objects, options.format, options.output)


if __name__ == "__main__":
    main()
