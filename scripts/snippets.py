#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Keeps the pages true to the sources.

    scripts/snippets.py            fills every block that a page takes from a source
    scripts/snippets.py --check    changes nothing; exit code 1 and one line per defect

Markers in README.md, CHANGELOG.md and docs/**/*.md:

    <!-- snippet: examples/02_guest/guest.cpp guest -->
        The fenced block that follows is the text between the two lines `// [guest]` of that file (a comment may say more before the
        bracket). Indentation is taken off.
    <!-- headers: nn -->
        The table that follows lists the room's public headers with the first sentence after their `\\file`; those that the room's door
        leaves out say so.

--check also demands that every relative link leads somewhere (to a heading, if it names one), and that every header (`pleat/...hpp`) and every file of the repository
(`tests/...`, `scripts/...`, `examples/...`, ...) that a page names exists.
"""
import argparse
import pathlib
import re
import sys
import textwrap

MARKER = re.compile(r"^<!-- (snippet|headers): (.+?) -->$")
LANGUAGE = {".cpp": "cpp", ".hpp": "cpp", ".txt": "cmake", ".cmake": "cmake", ".py": "python", ".sh": "sh"}


class Defect(Exception):
    pass


def snippet(root, path, tag):
    source = root / path
    if not source.is_file():
        raise Defect(f"there is no file {path}")
    lines = source.read_text(encoding="utf-8").splitlines()
    ends = [i for i, line in enumerate(lines) if re.search(r"^\s*(//|#).*\[" + re.escape(tag) + r"\]\s*$", line)]
    if len(ends) != 2:
        raise Defect(f"{path} has {len(ends)} lines '// [{tag}]', expected 2")
    text = textwrap.dedent("\n".join(lines[ends[0] + 1 : ends[1]])).strip("\n")
    return [f"```{LANGUAGE.get(source.suffix, '')}", *text.split("\n"), "```"]


def first_sentence(header):
    words = []
    lines = iter(header.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.strip() == r"/// \file":
            break
    for line in lines:
        if not line.startswith("///") or not line[3:].strip():
            break
        words.append(line[3:].strip())
    text = " ".join(words)
    end = re.search(r"(?<!\be\.g)(?<!\bi\.e)\.(\s|$)", text)
    text = text[: end.start() + 1] if end else text
    return text.replace("|", r"\|").replace("<", "&lt;")


def reached(root, header):
    """What including a header brings along, of ours."""
    found, left = set(), [header]
    while left:
        for name in re.findall(r"^#include <pleat/(\S+)>", left.pop().read_text(encoding="utf-8"), re.M):
            if name not in found and (path := root / "include/pleat" / name).is_file():
                found.add(name)
                left.append(path)
    return found


def headers(root, room):
    folder = root / "include/pleat" / room
    found = sorted(folder.glob("*.hpp"))
    if not found:
        raise Defect(f"the room {room} has no headers")
    door = folder.with_suffix(".hpp")
    inside = reached(root, door) if door.is_file() else None
    rows = ["| header | what it is |", "|---|---|"]
    for header in found:
        remark = "" if inside is None or f"{room}/{header.name}" in inside else " *By its own name.*"
        rows.append(f"| `{room}/{header.name}` | {first_sentence(header)}{remark} |")
    return rows


def block_after(lines, at, kind):
    """[begin, end) of the block that belongs to the marker in line `at`; empty if there is none yet."""
    begin = at + 1
    if kind == "snippet":
        if begin < len(lines) and lines[begin].startswith("```"):
            for end in range(begin + 1, len(lines)):
                if lines[end] == "```":
                    return begin, end + 1
            raise Defect("a fenced block does not end")
    else:
        end = begin
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        return begin, end
    return begin, begin


def filled(root, text):
    """The page with every block as the sources have it, and the defects."""
    lines, defects, out, at = text.split("\n"), [], [], 0
    while at < len(lines):
        out.append(lines[at])
        marker = MARKER.match(lines[at])
        if marker:
            kind, what = marker.groups()
            try:
                begin, end = block_after(lines, at, kind)
                if kind == "snippet":
                    words = what.split()
                    if len(words) != 2:
                        raise Defect("expected '<!-- snippet: path tag -->'")
                    out += snippet(root, *words)
                else:
                    out += headers(root, what)
                at = end
                continue
            except Defect as defect:
                defects.append(f"line {at + 1}: {defect}")
        at += 1
    return "\n".join(out), defects


def without_fences(text):
    """The page without fenced blocks and comments."""
    return re.sub(r"^```.*?^```|<!--.*?-->", "", text, flags=re.S | re.M)


def anchors(page):
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_fences(page.read_text(encoding="utf-8")), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def dead_links(root, page, text):
    """Relative links that lead nowhere, and headers that do not exist. Fenced blocks count for headers only."""
    prose = without_fences(text)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            yield f"the link ({target}) leads nowhere"
    for name in sorted(set(re.findall(r"[`<](pleat/[a-z0-9_/]+\.hpp)[`>]", text))):
        if not (root / "include" / name).is_file():
            yield f"there is no header <{name}>"
    for name in sorted(set(re.findall(r"`((?:tests|scripts|examples|bench|include|cmake|packaging|docs)/[\w./-]*\w)`", prose))):
        if not (root / name).exists():
            yield f"there is no {name}"


def pages(root):
    return [p for p in (root / "README.md", root / "CHANGELOG.md") if p.exists()] + sorted((root / "docs").rglob("*.md"))


def main():
    options = argparse.ArgumentParser(description="Fills the pages' blocks from the sources.")
    options.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a page is out of date")
    options.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    options = options.parse_args()
    bad = 0

    def say(page, what):
        nonlocal bad
        bad += 1
        print(f"{page.relative_to(options.root)}: {what}")

    blocks = 0
    for page in pages(options.root):
        text = page.read_text(encoding="utf-8")
        new, defects = filled(options.root, text)
        blocks += sum(1 for line in text.split("\n") if MARKER.match(line))
        for defect in defects:
            say(page, defect)
        if options.check:
            if new != text:
                old, fresh = text.split("\n"), new.split("\n")
                where = next((i for i, (a, b) in enumerate(zip(old, fresh)) if a != b), min(len(old), len(fresh)))
                say(page, f"line {where + 1} is out of date: run scripts/snippets.py")
        elif new != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.relative_to(options.root)}: filled")
        for dead in dead_links(options.root, page, new):
            say(page, dead)
    if not bad:
        print(f"pleat: {len(pages(options.root))} pages with {blocks} blocks from sources are up to date")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
