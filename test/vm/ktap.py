# SPDX-License-Identifier: Apache-2.0
"""Reads KTAP (Documentation/dev-tools/ktap.rst): suites on the top level, their tests one level below."""
import dataclasses
import re

RESULT = re.compile(r"(?P<not>not )?ok (?P<number>\d+) (?P<name>\S+)(?: # SKIP ?(?P<skip>.*))?$")
PLAN = re.compile(r"1\.\.(\d+)$")


@dataclasses.dataclass
class Failure:
    name: str
    diagnostics: list[str]


@dataclasses.dataclass
class Suite:
    """Of one test program. `planned` is None until it said how many tests it has."""
    planned: int | None = None
    passed: int = 0
    skipped: int = 0
    failures: list[Failure] = dataclasses.field(default_factory=list)

    @property
    def failed(self):
        return len(self.failures)

    @property
    def seen(self):
        return self.passed + self.skipped + self.failed

    def summary(self):
        if not self.seen:
            return "-"
        words = [f"{self.passed} ok"]
        if self.failed:
            words.append(f"{self.failed} FAILED")
        if self.skipped:
            words.append(f"{self.skipped} skipped")
        return ", ".join(words)


@dataclasses.dataclass
class Report:
    suites: dict[str, Suite] = dataclasses.field(default_factory=dict)
    diagnostics: list[str] = dataclasses.field(default_factory=list)  # of the top level


def parse(text):
    """What does not arrive counts as failed: tests that a plan promises, and a suite that ended badly."""
    report, current, name, pending, after_failure = Report(), Suite(), "", [], None
    for raw in text.replace("\r", "").splitlines():
        nested, line = raw.startswith("  "), raw.strip()
        result = RESULT.match(line)
        if nested and line.startswith("# Subtest: "):
            name, current, pending = line.removeprefix("# Subtest: "), Suite(), []
            report.suites[name] = current
        elif nested and result:
            if result["not"]:
                current.failures.append(Failure(result["name"], pending))
            elif result["skip"] is not None:
                current.skipped += 1
            else:
                current.passed += 1
            pending = []
        elif nested and (plan := PLAN.match(line)):
            current.planned = int(plan[1])
        elif nested:
            pending = [*pending, line.removeprefix("# ")]
        elif result:
            after_failure = finish(report.suites.setdefault(result["name"], Suite()), result)
            name = ""
        elif line.startswith("# "):
            report.diagnostics.append(line.removeprefix("# "))
            if after_failure:
                after_failure.diagnostics.append(line.removeprefix("# "))
    if name:
        current.failures.append(Failure("the suite", ["the machine ended before the suite did", *pending]))
    return report


def finish(suite, result):
    """A suite that ended: what it promised and did not run, or an end with an error and no failed test."""
    missing = 0 if suite.planned is None else suite.planned - suite.seen
    if missing > 0:
        suite.failures.append(Failure("the suite", [f"{missing} of {suite.planned} tests did not run"]))
    elif result["not"] and not suite.failures:
        suite.failures.append(Failure("the suite", ["it ended with an error"]))
    return suite.failures[-1] if result["not"] else None
