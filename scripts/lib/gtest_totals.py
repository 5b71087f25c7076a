#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gtest_totals.py REPORT LOG STATUS: what one googletest program did.

Prints the output of failed tests and why tests were skipped on stderr, and "PASSED FAILED SKIPPED" on stdout.
REPORT is --gtest_output=json, LOG the output, STATUS the exit status. A program that crashed or ran out of time
wrote no report: then the log says how far it came, and the test that it was in counts as failed.
"""

import json
import re
import signal
import sys

RUN = re.compile(r"^\[ RUN      \] (\S+)")
END = re.compile(r"^\[\s+(OK|FAILED|SKIPPED)\s+\] ([^\s,]+)")
TIMED_OUT = 124


def blocks(log):
    """(test, outcome, output) of each test in the log; the outcome is None where the program ended inside it."""
    name, output = None, []
    for line in log.splitlines():
        started, ended = RUN.match(line), END.match(line)
        if started:
            name, output = started[1], []
        elif name and ended and ended[2] == name:
            yield name, ended[1], output
            name = None
        elif name:
            output.append(line)
    if name:
        yield name, None, output


def count(report):
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    for suite in report["testsuites"]:
        for test in suite["testsuite"]:
            if test["status"] == "NOTRUN":
                continue  # filtered out or disabled
            outcome = "failed" if "failures" in test else "skipped" if test["result"] == "SKIPPED" else "passed"
            totals[outcome] += 1
    return totals


def describe_end(status):
    if status == TIMED_OUT:
        return "its time was over"
    if status > 128:
        return f"ended by {signal.Signals(status - 128).name}"
    return f"exit status {status} without a report"


def skip_reason(output):
    text = [line for line in output if line.strip() and not line.rstrip().endswith(": Skipped")]
    return text[0].strip() if text else "no reason given"


def main():
    report_path, log_path, status = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(log_path, encoding="utf-8", errors="replace") as file:
        tests = list(blocks(file.read()))
    skipped = {}
    for name, outcome, output in tests:
        if outcome == "SKIPPED":
            skipped.setdefault(skip_reason(output), []).append(name)
        elif outcome != "OK":
            print(f"FAILED {name}", *output, sep="\n", file=sys.stderr)
    for reason, names in skipped.items():
        print(f"SKIPPED {len(names)} ({names[0]}{', ...' if len(names) > 1 else ''}): {reason}", file=sys.stderr)
    try:
        with open(report_path, encoding="utf-8") as file:
            totals = count(json.load(file))
    except (OSError, ValueError):
        outcomes = [outcome for _, outcome, _ in tests]
        totals = {"passed": outcomes.count("OK"), "failed": outcomes.count("FAILED") + 1,
                  "skipped": outcomes.count("SKIPPED")}
        print(f"FAILED: the program crashed: {describe_end(status)}", file=sys.stderr)
    if status != 0 and totals["failed"] == 0:
        totals["failed"] = 1
        print(f"FAILED: every test passed, yet {describe_end(status)}", file=sys.stderr)
    print(totals["passed"], totals["failed"], totals["skipped"])


if __name__ == "__main__":
    main()
