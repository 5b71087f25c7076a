#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions of at most 70 lines and 5 parameters, files of at most 500 lines.

Reads C and C++ by their braces: comments and literals are blanked, a brace belongs to a namespace or type, to a
function, or to an initialiser. Lambdas count with the function around them. Where a foreign API dictates a
signature, the line above says so: `// lint-allow(parameters): <reason>`.
"""

import re
import sys

import tree

FILE_LINES = 500
FUNCTION_LINES = 70
PARAMETERS = 5

BLANKED = re.compile(
    r'//(?:[^\n\\]|\\.)*|/\*.*?\*/|R"(?P<mark>[^\s()\\]{0,16})\(.*?\)(?P=mark)"|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])\'(?:[^\'\\\n]|\\.)*\'',
    re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.MULTILINE)
CONTAINER = re.compile(r"^(?:\s|template\s*<.*>|inline|typedef|static|const|constexpr)*(?:namespace|class|struct|union|enum|extern)\b", re.DOTALL)
FUNCTION_END = re.compile(r"(?:\)|\}|\b(?:const|noexcept|override|final|try|mutable)|&|->\s*[\w:<>,&*\s]+)\s*$")
NO_NAME = {"SEC", "__attribute__", "alignas", "decltype", "noexcept", "requires", "explicit", "if", "for", "while",
           "switch", "catch", "return", "sizeof"}


def blank(text):
    """The same text, same line numbers, without comments, literals and preprocessor lines."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match[0])
    return DIRECTIVE.sub(spaces, BLANKED.sub(spaces, text))


def split_parameters(text):
    """The parts of a parameter list between commas that lie in no brackets."""
    parts, depth, start = [], 0, 0
    text = text.replace("->", "  ")
    for at, char in enumerate(text):
        depth += (char in "(<[{") - (char in ")>]}")
        if char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [part for part in [*parts, text[start:]] if part.strip() not in ("", "void")]


def parameter_list(header):
    """Name and parameters of the function that `header` declares; None when it declares none."""
    if "INSTANTIATE_TEST_SUITE_P" in header:
        return None
    for match in re.finditer(r"(operator\s*\(\)|operator\s*[^\s\w(]+|~?\w+)\s*\(", header):
        if match[1] in NO_NAME:
            continue
        depth = 0
        for at in range(match.end() - 1, len(header)):
            depth += (header[at] == "(") - (header[at] == ")")
            if depth == 0:
                return match[1], split_parameters(header[match.end():at])
    return None


def closing_brace(text, opening):
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return len(text) - 1


def functions(text, start=0, end=None):
    """(name, parameters, first line, last line) of each function between two offsets of a blanked text."""
    end = len(text) if end is None else end
    at = header_start = start
    while at < end:
        char = text[at]
        if char in ";}" or (char == ":" and re.search(r"\b(?:public|private|protected)\s*$", text[header_start:at])):
            header_start = at + 1
        elif char == "{":
            close = closing_brace(text, at)
            header = text[header_start:at]
            declared = parameter_list(header)
            if CONTAINER.match(header) and (declared is None or header.lstrip().startswith("extern")
                                            or re.match(r"\s*(?:class|struct)\s+[\w:<> ]+(?:final\s*)?:", header)):
                yield from functions(text, at + 1, close)
                header_start = close + 1
            elif declared and FUNCTION_END.search(header):
                following = text[close + 1:close + 40].lstrip()
                if following.startswith((",", "{")) and re.search(r"\)\s*:[^:]", header):
                    at = close + 1  # a braced member initialiser: the constructor's body comes later
                    continue
                first = header_start + len(header) - len(header.lstrip())
                yield declared[0], declared[1], text.count("\n", 0, first) + 1, text.count("\n", 0, close) + 1
                header_start = close + 1
            at = close
        at += 1


def is_excused(content, first, what):
    above = content.split("\n")[max(0, first - 3):first]
    return any(re.search(rf"lint-allow\({what}\): \S+", line) for line in above)


def findings_of(path):
    content = tree.read(path)
    lines = content.count("\n")
    if lines > FILE_LINES:
        yield path, lines, f"file of {lines} lines, at most {FILE_LINES}"
    for name, parameters, first, last in functions(blank(content)):
        if last - first + 1 > FUNCTION_LINES:
            yield path, first, f"{name} has {last - first + 1} lines, at most {FUNCTION_LINES}"
        if len(parameters) > PARAMETERS and not is_excused(content, first, "parameters"):
            yield path, first, f"{name} has {len(parameters)} parameters, at most {PARAMETERS}"


def main():
    return tree.report([finding for path in tree.sources() for finding in findings_of(path)])


if __name__ == "__main__":
    sys.exit(main())
