#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots the kernels of kernels.txt in qemu and runs test suites inside.

Results come over a serial port as KTAP; the kernel's own log comes over another one and is shown when something
fails. A machine that is not done after its time limit is killed and counts as failed.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

import ktap
import verifier

HERE = pathlib.Path(__file__).parent
SUITES = ("verifier", "prog", "net")
# QEMU 7.2 emulates CMPXCHG16B with wrong flags now and then (the lower half of a pointer in EFLAGS), and the kernel, which
# has its slab allocator use it, dies. Without the feature it does not.
CPU = "Skylake-Server-v5,-cx16"
# One host thread for all processors of a machine, and machines side by side: with a thread for each processor a 7.2 once
# died of "Oops: int3" in code that it was patching, which looks like the emulator's and not like the kernel's.
# Emulated: the kernel's own accelerators are not to be had everywhere, and a hang of theirs would look like ours.
QEMU = ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-M", "q35", "-cpu", CPU, "-smp", "2",
        "-m", "2048", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
# Grace periods decide how long a namespace takes to go away; a crash must end the machine.
KERNEL_ARGUMENTS = "console=ttyS0 panic=-1 oops=panic mitigations=off audit=0 rcupdate.rcu_expedited=1"
CONSOLE_LINES = 60
# It prints 131,072 entries, which is no kernel's affair, and an emulated processor takes most of a minute for it.
PROG_FILTER = "*-AgentctlMapTest.FullFlowTable_IsDumpedWhole"


class Machine:
    """One kernel: where its files are, and what became of its run."""

    def __init__(self, line, folder, work):
        self.line = line
        self.folder = pathlib.Path(folder)
        self.work = work / line
        self.release = (self.folder / "release").read_text().strip()
        self.problem = ""
        self.seconds = 0.0
        self.report = ktap.Report()

    def settings(self, settings):
        """An archive with /podlane/settings. A kernel takes 2048 bytes of command line, and hangs over more."""
        path = self.work / "settings" / "podlane" / "settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return subprocess.run(["cpio", "--quiet", "--create", "--format=newc"], input=b"podlane/settings\n",
                              cwd=path.parents[1], stdout=subprocess.PIPE, check=True).stdout

    def initramfs(self, base, settings):
        """The base, this kernel's modules and the settings, one behind the other
        (Documentation/driver-api/early-userspace)."""
        self.work.mkdir(parents=True, exist_ok=True)
        path = self.work / "initramfs"
        with path.open("wb") as out:
            for part in (base.read_bytes(), (self.folder / "modules.cpio").read_bytes(), self.settings(settings)):
                out.write(part)
        return path

    def command(self, base, settings):
        return [*QEMU, "-kernel", str(self.folder / "vmlinuz"), "-initrd", str(self.initramfs(base, settings)),
                "-append", KERNEL_ARGUMENTS]

    def run(self, base, settings, limit):
        console, results, errors = (self.work / name for name in ("console.log", "results.ktap", "qemu.log"))
        command = self.command(base, settings)
        started = time.monotonic()
        with errors.open("wb") as error_file:
            machine = subprocess.Popen([*command, "-serial", f"file:{console}", "-serial", f"file:{results}"],
                                       stdin=subprocess.DEVNULL, stdout=error_file, stderr=error_file)
            try:
                machine.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                machine.kill()
                machine.wait()
                self.problem = f"not done after {limit} s: killed"
        self.seconds = time.monotonic() - started
        if machine.returncode != 0 and not self.problem:
            self.problem = f"qemu ended with {machine.returncode}: {errors.read_text(errors='replace').strip()}"
        self.report = ktap.parse(results.read_text(errors="replace") if results.exists() else "")

    def console_tail(self):
        path = self.work / "console.log"
        return path.read_text(errors="replace").splitlines()[-CONSOLE_LINES:] if path.exists() else []


def kernel_lines():
    rows = (row.split() for row in (HERE / "kernels.txt").read_text().splitlines())
    return [row[0] for row in rows if row and not row[0].startswith("#")]


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/test.sh vm")
    parser.add_argument("--bin", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--totals", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--kernel", action="append", choices=kernel_lines(), metavar="LINE",
                        help=f"only this kernel ({', '.join(kernel_lines())}); may be repeated")
    parser.add_argument("--suite", action="append", choices=SUITES, metavar="SUITE",
                        help=f"only this suite ({', '.join(SUITES)}); may be repeated")
    parser.add_argument("--filter", default="", help="of the tests of prog and net, as googletest's --gtest_filter")
    parser.add_argument("--limit", type=int, default=1200, help="seconds that a machine may take (default %(default)s)")
    parser.add_argument("--shell", action="store_true", help="a prompt in the machine instead of tests; needs --kernel")
    parser.add_argument("--accept-verifier", action="store_true",
                        help="write what the verifiers count now to test/vm/verifier.txt")
    arguments = parser.parse_args()
    if arguments.shell and len(arguments.kernel or []) != 1:
        parser.error("--shell needs one --kernel")
    return arguments


def prepare(arguments):
    """The machines and the common part of their initramfs."""
    lines = arguments.kernel or kernel_lines()
    machines = []
    for line in lines:
        fetched = subprocess.run([HERE / "kernels.sh", line, arguments.cache], stdout=subprocess.PIPE, text=True,
                                 check=False)
        if fetched.returncode != 0:
            sys.exit(f"kernel {line}: cannot be had")
        machines.append(Machine(line, fetched.stdout.strip(), arguments.work))
    arguments.work.mkdir(parents=True, exist_ok=True)
    if subprocess.run([HERE / "image.sh", arguments.bin, arguments.work], check=False).returncode != 0:
        sys.exit("the image of the virtual machines could not be made")
    return machines, arguments.work / "base.cpio"


def net_core(line):
    """The filters of net_core.txt for a kernel: "[KERNEL,...] FILTER" a line."""
    rows = (row.split() for row in (HERE / "net_core.txt").read_text().splitlines() if not row.startswith("#"))
    return ":".join(row[-1] for row in rows if row and (len(row) == 1 or line in row[0].split(",")))


def settings_of(arguments, line):
    """What the machine of a kernel is to do, for guest_init.sh."""
    prog_filter, net_filter = arguments.filter, arguments.filter
    if not arguments.filter:
        prog_filter, net_filter = PROG_FILTER, net_core(line)
    return {"suites": " ".join(arguments.suite or SUITES), "prog_filter": prog_filter, "net_filter": net_filter}


def show_failures(machine):
    print(f"\n--- Linux {machine.line} ({machine.release})")
    if machine.problem:
        print(machine.problem)
    for name, suite in machine.report.suites.items():
        for failure in suite.failures:
            print(f"FAILED {name}: {failure.name}")
            for line in failure.diagnostics:
                print(f"  {line}")
    print("--- the end of the kernel's log")
    for line in machine.console_tail():
        print(f"  {line}")


def table(machines, suites):
    rows = [["kernel", "release", *suites, "seconds"]]
    for machine in machines:
        cells = [machine.report.suites.get(name, ktap.Suite()).summary() for name in suites]
        rows.append([machine.line, machine.release, *cells, f"{machine.seconds:.0f}"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def run_all(arguments, machines, base):
    # A machine has two processors and waits a lot: as many machines as there are processors. Those with the longest
    # lists first, lest one runs alone at the end.
    machines = sorted(machines, key=lambda machine: -len(net_core(machine.line)))
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda machine: machine.run(base, settings_of(arguments, machine.line), arguments.limit),
                      machines))


def count(machine, suites):
    passed = failed = skipped = 0
    for name in suites:
        suite = machine.report.suites.get(name)
        if suite is None:
            failed += 1  # the machine never came to it
            continue
        passed += suite.passed
        failed += suite.failed
        skipped += suite.skipped
    return passed, failed + (1 if machine.problem else 0), skipped


def main():
    arguments = parse_arguments()
    machines, base = prepare(arguments)
    if arguments.shell:
        command = machines[0].command(base, {"shell": "yes"})
        os.execvp(command[0], [*command, "-serial", "mon:stdio", "-serial", "null"])
    suites = tuple(arguments.suite or SUITES)
    run_all(arguments, machines, base)
    if "verifier" in suites:
        verifier.check(HERE / "verifier.txt", machines, verifier.Accept.YES if arguments.accept_verifier else
                       verifier.Accept.NO)
    totals = [0, 0, 0]
    for machine in machines:
        counted = count(machine, suites)
        totals = [total + part for total, part in zip(totals, counted)]
        if counted[1]:
            show_failures(machine)
    print("\n" + table(machines, suites))
    if arguments.totals:
        arguments.totals.write_text(" ".join(map(str, totals)) + "\n")
    return 0 if totals[1] == 0 and totals[0] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
