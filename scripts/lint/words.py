#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No promises and no private paths in the tree, an SPDX line on top, packet bounds only where they belong."""

import re
import sys

import tree

# Spelled in parts, so that this file passes its own lint.
PROMISES = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
PRIVATE_PATHS = re.compile(r"/wo" r"rk/|/tmp/b" r"uild-|/tmp/b" r"rief")
SPDX = "SPDX-License-" + "Identifier:"
WITH_SPDX = tree.SOURCE_SUFFIXES | {".cmake", ".sh", ".py"}
BINARY = {".png", ".pcap", ".pcapng", ".bin", ".gz", ".o"}
# Recorded from other programs, kept as they were.
RECORDED = "test/data/"
BOUNDS = re.compile(r"\bdata_end\b")
BOUNDS_HOME = re.compile(r"bpf/lib/(?:parse|ctx\w*)\.h")


def needs_spdx(path, text):
    return path.suffix in WITH_SPDX or path.name == "CMakeLists.txt" or text.startswith("#!")


def findings_of(path):
    text = tree.read(path)
    lines = text.splitlines()
    if needs_spdx(path, text) and not any(SPDX in line for line in lines[:3]):
        yield path, 1, "no SPDX line in the first three"
    for number, line in enumerate(lines, 1):
        if PROMISES.search(line):
            yield path, number, "a promise instead of the thing: do it, or write an issue"
        if PRIVATE_PATHS.search(line):
            yield path, number, "a path that only one machine has"
        if str(path).startswith("bpf/") and path.suffix in tree.SOURCE_SUFFIXES and BOUNDS.search(line) \
                and not BOUNDS_HOME.fullmatch(str(path)):
            yield path, number, "data_end outside bpf/lib/parse.h and bpf/lib/ctx*.h"


def main():
    paths = [path for path in tree.files() if path.suffix not in BINARY and not str(path).startswith(RECORDED)]
    return tree.report([finding for path in paths for finding in findings_of(path)])


if __name__ == "__main__":
    sys.exit(main())
