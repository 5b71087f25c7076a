# SPDX-License-Identifier: Apache-2.0
"""The files of the project, for the lints beside this one."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE_SUFFIXES = {".c", ".h", ".cpp", ".hpp"}


def files():
    """Paths below ROOT, as git sees them: tracked ones and new ones, nothing ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = (pathlib.PurePosixPath(name) for name in sorted(set(listed.split("\0"))) if name)
    return [path for path in paths if (ROOT / path).is_file()]


def sources():
    """C, C++ and BPF."""
    return [path for path in files() if path.suffix in SOURCE_SUFFIXES]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def report(findings):
    """Prints "file:line: message" for each finding; the exit status of a lint."""
    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    return 1 if findings else 0
