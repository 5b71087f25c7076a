#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the iptables rules that kube-proxy (iptables mode, v1.20) writes for N services, for iptables-restore.

Each service is a ClusterIP with one TCP port and one endpoint. Names of chains are hashes of the service, as
kube-proxy's are; the order of chains and rules is kube-proxy's.
"""
import argparse
import base64
import hashlib
import sys

MASQUERADE_MARK = "0x4000"


def chain(prefix: str, text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return prefix + base64.b32encode(digest).decode()[:16]


def comment(text: str) -> str:
    return f'-m comment --comment "{text}"'


class Service:
    def __init__(self, index: int):
        self.name = f"default/service-{index}:http"
        self.address = f"10.96.{index // 250}.{index % 250 + 1}"
        self.endpoint = f"10.244.{3 + index // 250}.{index % 250 + 2}"
        self.service_chain = chain("KUBE-SVC-", self.name + "tcp")
        self.endpoint_chain = chain("KUBE-SEP-", self.name + "tcp" + self.endpoint)

    def dispatch_rules(self, cluster_cidr: str) -> list[str]:
        match = f'-d {self.address}/32 -p tcp {comment(self.name + " cluster IP")} -m tcp --dport 80'
        return [
            f"-A KUBE-SERVICES ! -s {cluster_cidr} {match} -j KUBE-MARK-MASQ",
            f"-A KUBE-SERVICES {match} -j {self.service_chain}",
        ]

    def own_rules(self) -> list[str]:
        note = comment(self.name)
        return [
            f"-A {self.endpoint_chain} -s {self.endpoint}/32 {note} -j KUBE-MARK-MASQ",
            f"-A {self.endpoint_chain} -p tcp {note} -m tcp -j DNAT --to-destination {self.endpoint}:8080",
            f"-A {self.service_chain} {note} -j {self.endpoint_chain}",
        ]


def filter_table() -> list[str]:
    portals = "-m conntrack --ctstate NEW " + comment("kubernetes service portals")
    external = "-m conntrack --ctstate NEW " + comment("kubernetes externally-visible service portals")
    established = "-m conntrack --ctstate RELATED,ESTABLISHED"
    return [
        "*filter",
        ":KUBE-EXTERNAL-SERVICES - [0:0]",
        ":KUBE-FORWARD - [0:0]",
        ":KUBE-PROXY-CANARY - [0:0]",
        ":KUBE-SERVICES - [0:0]",
        f"-A INPUT {external} -j KUBE-EXTERNAL-SERVICES",
        f"-A FORWARD {comment('kubernetes forwarding rules')} -j KUBE-FORWARD",
        f"-A FORWARD {portals} -j KUBE-SERVICES",
        f"-A FORWARD {external} -j KUBE-EXTERNAL-SERVICES",
        f"-A OUTPUT {portals} -j KUBE-SERVICES",
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
        f"-A KUBE-FORWARD {comment('kubernetes forwarding rules')} -m mark --mark {MASQUERADE_MARK}/{MASQUERADE_MARK}"
        " -j ACCEPT",
        f"-A KUBE-FORWARD {comment('kubernetes forwarding conntrack pod source rule')} {established} -j ACCEPT",
        f"-A KUBE-FORWARD {comment('kubernetes forwarding conntrack pod destination rule')} {established} -j ACCEPT",
        "COMMIT",
    ]


def nat_table(services: list[Service], cluster_cidr: str) -> list[str]:
    fixed = ["KUBE-MARK-DROP", "KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-PROXY-CANARY", "KUBE-SERVICES"]
    lines = ["*nat"] + [f":{name} - [0:0]" for name in fixed]
    for service in services:
        lines += [f":{service.service_chain} - [0:0]", f":{service.endpoint_chain} - [0:0]"]
    portals = comment("kubernetes service portals")
    lines += [
        f"-A PREROUTING {portals} -j KUBE-SERVICES",
        f"-A OUTPUT {portals} -j KUBE-SERVICES",
        f"-A POSTROUTING {comment('kubernetes postrouting rules')} -j KUBE-POSTROUTING",
        f"-A KUBE-MARK-MASQ -j MARK --set-xmark {MASQUERADE_MARK}/{MASQUERADE_MARK}",
        f"-A KUBE-POSTROUTING -m mark ! --mark {MASQUERADE_MARK}/{MASQUERADE_MARK} -j RETURN",
        f"-A KUBE-POSTROUTING -j MARK --set-xmark {MASQUERADE_MARK}/0x0",
        f"-A KUBE-POSTROUTING {comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE --random-fully",
    ]
    for service in services:
        lines += service.dispatch_rules(cluster_cidr)
    node_ports = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    lines.append(f"-A KUBE-SERVICES {node_ports} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")
    for service in services:
        lines += service.own_rules()
    return lines + ["COMMIT"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("services", type=int, help="0 to 50000")
    parser.add_argument("--cluster-cidr", default="10.244.0.0/16")
    arguments = parser.parse_args()
    if not 0 <= arguments.services <= 50000:
        parser.error("services: not within 0 to 50000")
    services = [Service(index) for index in range(arguments.services)]
    sys.stdout.write("\n".join(filter_table() + nat_table(services, arguments.cluster_cidr)) + "\n")


if __name__ == "__main__":
    main()
