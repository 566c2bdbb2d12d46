# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tests of the program `schedule`: check.py figures|round_trip|pictures|refusals PROGRAM SCRATCH"""
import json
import os
import pathlib
import subprocess
import sys
import xml.dom.minidom

what, program, scratch = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
scratch.mkdir(parents=True, exist_ok=True)
KINDS = ["gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-v", "dualpipe-v"]


def run(*arguments, code=0):
    done = subprocess.run([program, *map(str, arguments)], text=True, capture_output=True)
    assert (done.returncode == 0) == (code == 0), f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def figures(*arguments):
    run(*arguments, "--json", scratch / "figures.json")
    return json.loads((scratch / "figures.json").read_text())


if what == "figures":
    p = 4
    for m in (4, 8, 16):
        # share of idle time, by the published formulas at equal times (docs/schedules.md)
        expected = {"gpipe": (p - 1) / (m + p - 1), "1f1b": (p - 1) / (m + p - 1), "interleaved": (p - 1) / (2 * m + p - 1), "zb-h1": (p - 1) / (3 * m + p - 1)}
        if m >= 2 * p - 1:
            expected["zb-v"] = 0
        for kind, idle in expected.items():
            f = figures("--kind", kind, "--stages", p, "--micro-batches", m)
            assert f["idle_share"] == idle, (kind, m, f)
            assert len(f["peak_activations"]) == p
    assert figures("--kind", "1f1b", "--stages", 4, "--micro-batches", 8)["peak_activations"] == [4, 3, 2, 1]
    assert figures("--kind", "1f1b", "--stages", 4, "--micro-batches", 8)["messages"] == 48
    assert figures("--kind", "gpipe", "--stages", 2, "--micro-batches", 3, "--times", "2,3,1")["makespan"] == 4 * 6
    assert figures("--kind", "gpipe", "--stages", 3, "--micro-batches", 1, "--latency", "0.5")["makespan"] == 9 + 4 * 0.5
    assert figures("--kind", "interleaved", "--stages", 3, "--micro-batches", 6, "--chunks", 3)["makespan"] == 20
elif what == "round_trip":
    for kind in KINDS:
        for extra in ([], ["--messages"]):
            table, picture = scratch / f"{kind}.csv", scratch / f"{kind}.svg"
            made = figures("--kind", kind, "--stages", 3, "--micro-batches", 7, "--csv", table, "--svg", picture, *extra)
            read = figures("--check", table)
            made.pop("kind"), read.pop("kind")
            assert made == read, (kind, made, read)
            xml.dom.minidom.parse(str(picture))
            first = table.read_bytes(), picture.read_bytes()
            run("--kind", kind, "--stages", 3, "--micro-batches", 7, "--csv", table, "--svg", picture, *extra)
            assert first == (table.read_bytes(), picture.read_bytes())
elif what == "pictures":
    # docs/schedules.md shows what this program draws: the same bytes (scripts/draw_schedules.sh writes them)
    pages = pathlib.Path(__file__).resolve().parents[2] / "docs" / "schedules"
    assert {p.stem for p in pages.glob("*.svg")} == set(KINDS), sorted(pages.iterdir())
    for kind in KINDS:
        run("--kind", kind, "--stages", 4, "--micro-batches", 8, "--svg", scratch / "drawn.svg")
        assert (scratch / "drawn.svg").read_bytes() == (pages / f"{kind}.svg").read_bytes(), f"docs/schedules/{kind}.svg is not what the program draws: scripts/draw_schedules.sh"
elif what == "refusals":

    def refused(text, words, *arguments):
        (scratch / "bad.csv").write_bytes(text.encode())
        said = run("--check", scratch / "bad.csv", *arguments, code=1)
        assert words in said, f"expected '{words}', found: {said}"

    refused("0F0,0B0\n1F0\n", "rank 1: backward of micro-batch 0 on stage 1 is missing")
    refused("0F0,0F0,0B0\n", "forward of micro-batch 0 on stage 0 is there twice")
    refused("0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n", "these ranks wait for each other", "--any-weight-order")
    refused("0F0,0F1,0B1,0B0\n", "deterministic sums need them ascending")
    refused("0F0,0F1,0B0,0B1\n", "2. activation in flight, 1 are allowed", "--max-activations", "1")
    refused("", "no action")
    refused("0F0,0B0\n", "is the file that is read (--check)", "--svg", scratch / "bad.csv")
    assert (scratch / "bad.csv").read_bytes() == b"0F0,0B0\n", "the table that was checked is not what it was"
    twice = scratch / "twice"
    assert "is the file of --svg, too" in run("--svg", twice, "--json", os.path.relpath(twice), code=1)
    refused("0F0,nonsense\n", "line 1, cell 2: 'nonsense' does not begin with the number of a stage")
    refused("0F99999999999999999999\n", "does not end with the number of a micro-batch")
    refused("\x00\xff\xfe", "line 1, cell 1")
    assert "cannot read" in run("--check", scratch / "absent.csv", code=1)
    assert "--kind" in run("--kind", "wheel", code=1)
    (scratch / "good.csv").write_text("0F0,0B0\n")
    run("--check", scratch / "good.csv")
    for option, value in (("--kind", "zb-h1"), ("--stages", 2), ("--micro-batches", 4), ("--chunks", 2)):  # the table says what is checked
        said = run("--check", scratch / "good.csv", option, value, code=1)
        assert f"--check excludes {option}" in said or f"{option} excludes --check" in said, said
    assert "zb-v has 2 chunks per rank, found 3" in run("--kind", "zb-v", "--chunks", 3, code=1)
    assert "--times" in run("--times", "1,-1,1", code=1)
    assert "cannot write" in run("--svg", scratch / "absent" / "x.svg", code=1)
    assert "--stages" in run("--stages", 65536, code=1)
    assert "use --micro-batches 31" in run("--stages", 4096, "--micro-batches", 1000000, code=1)
    assert "--times" in run("--times", "1,nan,1", code=1)
    assert f"'{scratch}' is a folder" in run("--check", scratch, code=1)
else:
    sys.exit(f"no test {what}")
