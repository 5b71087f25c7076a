#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the values of `scripts/bench.sh guard` into medians and ratios against the checks at tc alone.

Input: one line a flood, separated by tabs: form, way, packets refused, what `flood` printed.
"""
import argparse
import json
import os
import platform
import statistics
import sys
from dataclasses import dataclass, field

TITLES = {
    "send": "sending alone",
    "tc": "tc alone (underlay.xdp: off)",
    "generic": "guard, generic",
    "native": "guard, native",
}
FORMS = {
    "skbs": "As skbs, from a neighbour on a veth",
    "frames": "As frames without an skb, as a network card's driver has them",
}
# Load average per CPU above which other work disturbs the measurement.
BUSY = 0.25


@dataclass
class Way:
    """All floods into one node."""

    sent: int = 0
    refused: int = 0
    rates: list[float] = field(default_factory=list)  # packets a second of one CPU

    def add(self, refused: int, flood: dict) -> None:
        self.sent += flood["sent"]
        self.refused += refused
        self.rates.append(flood["sent"] / flood["cpuSeconds"])

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def nanoseconds(self) -> float:
        return 1e9 / self.rate


def read_results(path: str) -> dict[str, dict[str, Way]]:
    """By form, then by way."""
    floods: dict[str, dict[str, Way]] = {form: {way: Way() for way in TITLES} for form in FORMS}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            form, way, refused, flood = line.rstrip("\n").split("\t")
            floods[form][way].add(int(refused), json.loads(flood))
    missing = [f"{form} {way}" for form, ways in floods.items() for way in ways if not ways[way].rates]
    if missing:
        sys.exit(f"report_guard.py: {path} lacks {', '.join(missing)}")
    return floods


def figures(ways: dict[str, Way], name: str) -> dict:
    way, alone, at_tc = ways[name], ways["send"].nanoseconds, ways["tc"]
    cost = way.nanoseconds - alone
    return {
        "packetsPerSecond": round(way.rate),
        "nanosecondsPerPacket": round(way.nanoseconds, 1),
        "nanosecondsToRefuse": round(cost, 1) if name != "send" else None,
        "rateByTc": round(way.rate / at_tc.rate, 3) if name != "send" else None,
        "costByTc": round(cost / (at_tc.nanoseconds - alone), 3) if name != "send" else None,
        "sent": way.sent,
        "refused": way.refused,
        "rates": way.rates,
    }


def cell(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"


def print_table(form: str, ways: dict[str, Way]) -> None:
    row = "{:<32} {:>12} {:>10} {:>13} {:>10} {:>10} {:>9}"
    print(f"{FORMS[form]}:")
    print(row.format("", "packets/s", "ns/packet", "ns to refuse", "rate x tc", "cost x tc", "refused"))
    for name, title in TITLES.items():
        values = figures(ways, name)
        keys = ("packetsPerSecond", "nanosecondsPerPacket", "nanosecondsToRefuse", "rateByTc", "costByTc")
        share = f"{values['refused'] / values['sent']:.2%}" if name != "send" else "-"
        print(row.format(title, *(cell(values[key]) for key in keys), share))
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--load", type=float, required=True, help="load average before the first measurement")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    floods = read_results(arguments.results)
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs. Medians of {arguments.rounds} interleaved rounds of "
          f"{floods['skbs']['tc'].sent // arguments.rounds:,} spoofed packets.")
    if arguments.load > BUSY * (os.cpu_count() or 1):
        print(f"The machine was busy (load {arguments.load:g} at the start): expect wide scatter.")
    print()
    for form, ways in floods.items():
        print_table(form, ways)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            document = {"benchmark": "guard", "kernel": platform.release(), "rounds": arguments.rounds,
                        "loadBefore": arguments.load,
                        "forms": {form: {name: figures(ways, name) for name in TITLES}
                                  for form, ways in floods.items()}}
            json.dump(document, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
