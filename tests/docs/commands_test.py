# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The tables "claim | command" of the pages, of which every room has one: every `ctest … -R PATTERN` names tests that there are. The tables of options and of JSON keys:
they have what the programs' sources have, all of it and nothing else.

Usage: commands_test.py CTEST BUILD_FOLDER
"""
import pathlib
import re
import subprocess
import sys
import tempfile



def alternatives(pattern):
    """Every name that a pattern speaks of: its alternatives, in brackets and outside."""
    inner = re.search(r"\(([^()]*)\)", pattern)
    if not inner:
        return pattern.split("|")
    return [a for one in inner[1].split("|") for a in alternatives(pattern[:inner.start()] + one.replace("|", "") + pattern[inner.end():])]


assert alternatives("(codec/(a|b)|c/d)$") == ["codec/a$", "c/d$", "codec/b$", "c/d$"], alternatives("(codec/(a|b)|c/d)$")
ctest, build = sys.argv[1:]
# Listed from a folder of its own: ctest in the build folder would replace the log of the run that this test belongs to.
with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "CTestTestfile.cmake").write_text(f'subdirs("{build}")\n')
    listed = subprocess.run([ctest, "--test-dir", folder, "-N"], capture_output=True, text=True, check=True).stdout
names = re.findall(r"^ *Test +#\d+: (\S+)", listed, re.M)
assert len(names) > 5, listed
rooms = {n.split("/")[0] for n in names}
commands, wrong = 0, []
for page in sorted((pathlib.Path(__file__).resolve().parents[2] / "docs").glob("**/*.md")):
    if page.parent.name == "rooms" and "\n| claim | command |\n" not in page.read_text():
        wrong.append(f"docs/rooms/{page.name} has no table of claims and commands")
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            continue
        for quoted, bare in re.findall(r"`ctest --test-dir build/release -R (?:'([^']+)'|([^'` ]+))`", line):
            pattern = (quoted or bare).replace("\\|", "|")
            commands += 1
            for part in alternatives(pattern):
                # a build without MPI, nvcc or the programs' libraries has none of those tests
                room = part.split("/")[0]
                if part == "examples/quickstart" and part not in names:
                    continue  # of a machine that scripts/setup.sh set up, in build/release alone
                if (room in rooms or room not in ("mpi", "examples", "sabotage", "cuda_compile")) and not any(re.search(part, n) for n in names):
                    wrong.append(f"docs/{page.name}: no test is called '{part}'")

# <!-- options: SOURCE… --> or <!-- keys: SOURCE FUNCTION -->, then a table whose first column names them, up to <!-- end of … -->.
root, tables = pathlib.Path(__file__).resolve().parents[2], 0
for page in sorted((root / "docs").glob("**/*.md")):
    for kind, where, table in re.findall(r"<!-- (options|keys): (.+?) -->\n(.*?)<!-- end of \1 -->", page.read_text(), re.S):
        tables += 1
        first = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
        if kind == "options":
            named = set(re.findall(r"`(--[a-z-]+)", first))
            text = "".join((root / source).read_text() for source in where.split())
            there = set(re.findall(r'add_(?:option|flag)\("(--[a-z-]+)"', text))
        else:
            source, function = where.split()
            named = set(re.findall(r"`(\w+)`", first))
            body = re.search(rf"^void {function}\(.*?^}}", (root / source).read_text(), re.S | re.M).group()
            there = set(re.findall(r'{"(\w+)",', body))
        wrong += [f"docs/{page.name}: {where} has no {name}" for name in sorted(named - there)]
        wrong += [f"docs/{page.name}: {name} of {where} is not on the page" for name in sorted(there - named)]
        if not there:
            wrong.append(f"docs/{page.name}: nothing found in {where}")
print("\n".join(wrong) if wrong else f"{commands} commands name tests that there are, {tables} tables have what their sources have")
sys.exit(1 if wrong or commands < 20 or tables < 3 else 0)
