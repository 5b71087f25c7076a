#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dependencies go one way: maps/schema -> bpf, maps -> loader -> agent; test sees everything, nothing sees test."""

import re
import sys

import tree

# The first rule whose folder holds a file is its rule: the folders it may include from.
RULES = [
    ("maps/schema/", ["maps/schema/"]),
    ("maps/", ["maps/"]),
    ("bpf/", ["maps/schema/", "bpf/lib/"]),
    ("loader/", ["maps/", "loader/"]),
    # The CNI plugin is small: neither BPF nor what the agent reconciles.
    ("agent/cni/", ["maps/base/", "agent/"]),
    # What the others are configured with.
    ("agent/config/", ["maps/", "loader/", "agent/config/", "agent/text/", "agent/log.h"]),
    ("agent/", ["maps/", "loader/", "agent/"]),
    # An oracle that shares code with what it judges is none. maps/base has addresses and results only.
    ("test/net/harness/", ["maps/base/", "test/net/harness/", "test/support/"]),
    ("test/", ["maps/", "loader/", "agent/", "test/"]),
]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def is_generated(name):
    return name.endswith(".skel.h") and "/" not in name


def allowed_folders(path):
    return next((allowed for folder, allowed in RULES if str(path).startswith(folder)), None)


def main():
    findings = []
    for path in tree.sources():
        allowed = allowed_folders(path)
        if allowed is None:
            findings.append((path, 1, "no layering rule for this folder (scripts/lint/layering.py)"))
            continue
        for number, line in enumerate(tree.read(path).splitlines(), 1):
            match = INCLUDE.match(line)
            if match and not is_generated(match[1]) and not match[1].startswith(tuple(allowed)):
                findings.append((path, number, f'may not include "{match[1]}": allowed are {", ".join(allowed)}'))
    return tree.report(findings)


if __name__ == "__main__":
    sys.exit(main())
