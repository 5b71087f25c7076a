#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the values of `scripts/bench.sh overlay`, `direct`, `local` or `snat` into medians, ratios and a table; marks what is below its floor.

Input: one line a measurement, separated by tabs: metric, set-up, round, what `traffic --json` printed.
"""
import argparse
import json
import os
import platform
import re
import statistics
import sys
from dataclasses import dataclass

SETUPS = ("raw", "flannel", "podlane")
# A set-up of `snat` alone, for information: it has no floors.
PROMOTED = "promoted"
# Load average per CPU above which other work disturbs the measurement.
BUSY = 0.25


@dataclass(frozen=True)
class Metric:
    """What a metric is called, and the least that podlane must reach against flannel and against the wire."""

    title: str
    floor_flannel: float | None = None
    floor_raw: float | None = None


DIRECT_METRICS = {
    "rr_same_cpu": Metric("TCP request/response, same CPU", 1.3),
    "rr_across_cpus": Metric("TCP request/response, across CPUs"),
    "stream_tso": Metric("TCP stream, TSO", 1.08),
    "udp_64": Metric("UDP, 64 bytes", 1.5),
    "crr_services_0": Metric("connect-request-close"),
}
LOCAL_METRICS = {
    "rr_same_cpu": Metric("TCP request/response, same CPU", 1.12),
    "rr_across_cpus": Metric("TCP request/response, across CPUs"),
    "stream_tso": Metric("TCP stream, TSO"),
    "udp_64": Metric("UDP, 64 bytes", 1.3),
    "crr_services_0": Metric("connect-request-close", 1.25),
}
OVERLAY_METRICS = {
    "rr_same_cpu": Metric("TCP request/response, same CPU", 1.5, 0.75),
    "rr_across_cpus": Metric("TCP request/response, across CPUs", 1.2, 0.85),
    "stream_tso": Metric("TCP stream, TSO", 1.25, 0.90),
    "stream_wire_gro": Metric("TCP stream, wire-size packets, GRO on", 1.10),
    "stream_wire": Metric("TCP stream, wire-size packets, GRO off", 1.0),
    "udp_64": Metric("UDP, 64 bytes", 2.0, 0.65),
    "crr_services_0": Metric("connect-request-close, no services", 1.8),
    "crr_services_1000": Metric("connect-request-close, 1,000 services", 3.5),
    "crr_services_5000": Metric("connect-request-close, 5,000 services", 10.0),
}
SNAT_METRICS = {
    "rr_same_cpu": Metric("TCP request/response, same CPU", 1.15),
    "rr_across_cpus": Metric("TCP request/response, across CPUs"),
    "stream_tso": Metric("TCP stream, TSO"),
    "udp_64": Metric("UDP, 64 bytes", 1.3),
    "crr_services_0": Metric("connect-request-close", 1.25),
}


BENCHMARKS = {"overlay": OVERLAY_METRICS, "direct": DIRECT_METRICS, "local": LOCAL_METRICS, "snat": SNAT_METRICS}


def metric_of(name: str, known: dict[str, Metric]) -> Metric:
    if name in known:
        return known[name]
    count = re.fullmatch(r"crr_services_(\d+)", name)
    if not count:
        sys.exit(f"report.py: unknown metric {name}")
    return Metric(f"connect-request-close, {int(count.group(1)):,} services")


class Series:
    """The values of one metric, by set-up."""

    def __init__(self, name: str, metric: Metric):
        self.name = name
        self.metric = metric
        self.unit = ""
        self.values: dict[str, list[float]] = {}

    def add(self, setup: str, measurement: dict) -> None:
        self.unit = measurement["unit"]
        self.values.setdefault(setup, []).append(measurement["value"])

    def median(self, setup: str) -> float | None:
        values = self.values.get(setup)
        return statistics.median(values) if values else None

    def ratio(self, setup: str, base: str) -> float | None:
        value, reference = self.median(setup), self.median(base)
        return value / reference if value is not None and reference else None

    def misses(self) -> list[str]:
        """One text for each floor that podlane is below."""
        found = []
        floors = (("flannel", self.metric.floor_flannel), ("raw", self.metric.floor_raw))
        for base, floor in floors:
            ratio = self.ratio("podlane", base)
            if floor is not None and ratio is not None and ratio < floor:
                found.append(f"{self.metric.title}: {ratio:.2f} x {base}, floor {floor:.2f}")
        return found

    def to_json(self) -> dict:
        return {
            "name": self.name,
            "title": self.metric.title,
            "unit": self.unit,
            "values": self.values,
            "medians": {setup: self.median(setup) for setup in self.values},
            "podlaneByFlannel": self.ratio("podlane", "flannel"),
            "podlaneByRaw": self.ratio("podlane", "raw"),
            "flannelByRaw": self.ratio("flannel", "raw"),
            "promotedByFlannel": self.ratio(PROMOTED, "flannel"),
            "floorByFlannel": self.metric.floor_flannel,
            "floorByRaw": self.metric.floor_raw,
            "belowFloor": bool(self.misses()),
        }


def read_results(path: str, known: dict[str, Metric]) -> list[Series]:
    found: dict[str, Series] = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            name, setup, _round, measurement = line.rstrip("\n").split("\t")
            found.setdefault(name, Series(name, metric_of(name, known))).add(setup, json.loads(measurement))
    if not found:
        sys.exit(f"report.py: {path} holds no measurement")
    order = list(known)
    return sorted(found.values(), key=lambda series: (order + [series.name]).index(series.name))


def cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def value_cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def ratio_cell(ratio: float | None, floor: float | None) -> str:
    if ratio is None:
        return "-"
    if floor is None:
        return f"{ratio:.2f}"
    mark = " < " if ratio < floor else " >="
    return f"{ratio:.2f}{mark} {floor:.2f}"


def print_table(series_list: list[Series]) -> None:
    promoted = [PROMOTED] if any(PROMOTED in series.values for series in series_list) else []
    setups = [*SETUPS, *promoted]
    row = "{:<39}" + " {:>9}" * len(setups) + "  {:<14} {:>13} {:>13} {:>13}" + "  {:>18}" * len(promoted)
    print(row.format("", *setups, "", "x flannel", "x raw", "flannel x raw", *(f"{name} x flannel" for name in promoted)))
    for series in series_list:
        metric = series.metric
        print(
            row.format(
                metric.title,
                *(value_cell(series.median(setup)) for setup in setups),
                series.unit,
                ratio_cell(series.ratio("podlane", "flannel"), metric.floor_flannel),
                ratio_cell(series.ratio("podlane", "raw"), metric.floor_raw),
                ratio_cell(series.ratio("flannel", "raw"), None),
                *(ratio_cell(series.ratio(name, "flannel"), None) for name in promoted),
            ).rstrip()
        )


def print_report(series_list: list[Series], run: argparse.Namespace) -> None:
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, {cpu_model()}")
    print(f"Medians of {run.rounds} interleaved rounds of {run.seconds:g} s. Ratios are podlane's, the floor beside them.")
    if run.load > BUSY * (os.cpu_count() or 1):
        print(f"The machine was busy (load {run.load:g} at the start): expect wide scatter.")
    print()
    print_table(series_list)
    if not any("podlane" in series.values for series in series_list):
        return
    misses = [miss for series in series_list for miss in series.misses()]
    print("\nEvery floor is reached." if not misses else "\nBelow the floor:")
    for miss in misses:
        print(f"  {miss}")


def write_json(path: str, series_list: list[Series], run: argparse.Namespace) -> None:
    document = {
        "benchmark": run.benchmark,
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "cpuModel": cpu_model(),
        "loadBefore": run.load,
        "rounds": run.rounds,
        "seconds": run.seconds,
        "metrics": [series.to_json() for series in series_list],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results")
    parser.add_argument("--benchmark", choices=BENCHMARKS, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--load", type=float, required=True, help="load average before the first measurement")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    series_list = read_results(arguments.results, BENCHMARKS[arguments.benchmark])
    print_report(series_list, arguments)
    if arguments.json:
        write_json(arguments.json, series_list, arguments)


if __name__ == "__main__":
    main()
