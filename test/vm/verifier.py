# SPDX-License-Identifier: Apache-2.0
"""How many instructions each kernel's verifier looks at, against what test/vm/verifier.txt holds."""
import enum

import ktap

GROWTH = 1.10  # more than this is on purpose, or a mistake
HEADER = """\
# Instructions that the verifier looks at: KERNEL PROGRAM CONFIGURATION INSTRUCTIONS. More than 10 % above this fails
# `scripts/test.sh vm`; `scripts/test.sh vm --accept-verifier` writes the file anew.
"""


class Accept(enum.Enum):
    YES = "write the file"
    NO = "compare with the file"


def measured(machine):
    """{(kernel, program, configuration): instructions}; lines that are no figures are the verifier's words."""
    figures = {}
    for line in machine.report.diagnostics:
        words = line.split()
        if len(words) == 4 and words[0] == "verifier" and words[3].lstrip("-").isdigit():
            figures[machine.line, words[1], words[2]] = int(words[3])
    return figures


def read(path):
    known = {}
    if path.exists():
        for row in path.read_text().splitlines():
            if row and not row.startswith("#"):
                kernel, program, configuration, instructions = row.split()
                known[kernel, program, configuration] = int(instructions)
    return known


def write(path, known):
    def order(key):
        return [int(part) for part in key[0].split(".")], key[1], key[2]
    rows = [f"{kernel:5} {program:14} {configuration:14} {known[kernel, program, configuration]}"
            for kernel, program, configuration in sorted(known, key=order)]
    path.write_text(HEADER + "\n".join(rows) + "\n")


def judge(key, instructions, known):
    """Why a figure is not good, or None."""
    if instructions <= 0:
        return "the verifier's log holds no figure"
    if key not in known:
        return f"{instructions} instructions, not in verifier.txt: run with --accept-verifier"
    if instructions > known[key] * GROWTH:
        return f"{instructions} instructions, {instructions / known[key] - 1:.0%} more than the {known[key]} of verifier.txt"
    return None


def check(path, machines, accept):
    """One test per program, configuration and kernel, added to each machine's report."""
    known = read(path)
    for machine in machines:
        suite = machine.report.suites.setdefault("verifier", ktap.Suite())
        figures = measured(machine)
        if accept is Accept.YES and figures:
            known = {key: value for key, value in known.items() if key[0] != machine.line} | figures
        if not figures and not suite.failures:
            suite.failures.append(ktap.Failure("the suite", ["no figures came out of the machine"]))
        for key, instructions in figures.items():
            problem = judge(key, instructions, known)
            if problem:
                suite.failures.append(ktap.Failure(" ".join(key), [problem]))
            else:
                suite.passed += 1
    if accept is Accept.YES:
        write(path, known)
