#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""scripts/compression_targets.py on made-up figures: every bar is looked at, a miss of any ends with an error, and what was run is not run again."""
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import types
import unittest.mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import compression_targets as targets

MOVED = ("gptq", "gptq(int8)", "sparse_gpt(0.5)", "sparse_gpt(0.8)")


def good():
    """Figures that lie on their bars."""
    def deep(ratio, error):
        return {"ratio": ratio, "error_before": error, "error_after": error, "bytes_before": 1, "bytes_after": 1, "process": 1, "evaluation": {"process": 2}}

    def trained(first, last):
        return {"stages": [{"test_error": first}, {"test_error": 1}, {"test_error": last}]}

    norms = {"norms": [{"weight": "a", "norm": 1.0, "plain_norm": 2.0}, {"weight": "b", "norm": 0.999, "plain_norm": 1.0}]}
    rounded = {"error_before": 0.0100, "error_after": 0.0110, "bytes_before": 4, "bytes_after": 1, "ratio": 4}
    norms = {**rounded, **norms}
    return json.loads(json.dumps({  # nothing is shared
        "deep_compression": {"lenet-300-100": deep(57, 0.0164), "lenet-5": deep(56, 0.008)},
        "shrink": {**{r: rounded for r in ("int8", "int8(activations=static)")}, **{r: norms for r in MOVED}},
        "train_shrink_run": {"lenet-300-100": trained(0.017, 0.018), "lenet-5": trained(0.009, 0.01)},
        "distill": {"samples": 10000, "teacher": {"errors": 67}, "student": {"errors": 74}}}))


def run(folder, figures, *more):
    """(what it ended with: 0 or words, what it said, programs that ran, its JSON)"""
    ran = []

    def program(words, **_):
        def of(option):
            return words[words.index(option) + 1]

        name = pathlib.Path(words[0]).name
        ran.append(name)
        if name == "shrink" and of("--recipe") not in figures[name]:  # one of the table without bars
            figures[name][of("--recipe")] = {"error_before": 0, "error_after": 0, "bytes_before": 2, "bytes_after": 1, "ratio": 2}
        given = figures[name] if name == "distill" else figures[name][of("--recipe" if name == "shrink" else "--model")]
        pathlib.Path(of("--json")).write_text(json.dumps(given))
        return types.SimpleNamespace(returncode=0, stdout="", stderr="")

    for part in ("bin", "data"):
        (folder / part).mkdir(exist_ok=True)
    for name in figures:
        if not (folder / "bin" / name).exists():
            (folder / "bin" / name).touch()
            os.utime(folder / "bin" / name, (1, 1))
    words = ["", "--data", str(folder / "data"), "--bin", str(folder / "bin"), "--out", str(folder / "out"), "--json", str(folder / "rows.json"), *more]
    ended, said = 0, io.StringIO()
    with unittest.mock.patch.object(targets.subprocess, "run", program), unittest.mock.patch.object(sys, "argv", words):
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                targets.main()
            except SystemExit as e:
                ended = e.code
    return ended, said.getvalue(), ran, json.loads((folder / "rows.json").read_text())


def fresh(figures, *more):
    with tempfile.TemporaryDirectory() as name:
        return run(pathlib.Path(name), figures, *more)


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    ended, said, ran, told = run(folder, good())
    assert ended == 0 and "MISSED" not in said and told["whole"], said
    again = {"int8", "gptq"}  # the other parts ran these
    assert len(ran) == 2 * 5 + 2 * 5 * 2 + 2 * 4 + 2 + 1 + 2 * len(set(targets.RECIPES) - again), ran
    assert all(f"`{r}`".replace("|", "\\|") in said for r in targets.RECIPES), said
    assert len(told["rows"]) == 4 + 4 + 8 + 4 + 2 and all(r["holds"] for r in told["rows"]), told
    assert run(folder, good())[2] == []  # nothing is run twice
    built = max(f.stat().st_mtime for f in folder.rglob("*")) + 10  # file systems count in seconds, too
    os.utime(folder / "bin/distill", (built, built))
    assert run(folder, good())[2] == ["distill"]  # but what was built since

misses = [("distill", "teacher", "errors", 68), ("distill", "student", "errors", 75)]
for model, ratio, error, trained, small in (("lenet-300-100", 56.9, 0.01645, 0.0171, 0.0181), ("lenet-5", 55.9, 0.00805, 0.0091, 0.0101)):
    misses += [("deep_compression", model, "ratio", ratio), ("deep_compression", model, "error_after", error),
               ("train_shrink_run", model, "stages", 0, "test_error", trained), ("train_shrink_run", model, "stages", 2, "test_error", small)]
misses += [("shrink", r, "error_after", 0.0111) for r in ("int8", "int8(activations=static)")] + [("shrink", r, "norms", 1, "norm", 1.0) for r in MOVED]
for *path, key, value in misses:
    figures = good()
    at = figures
    for step in path:
        at = at[step]
    at[key] = value
    ended, said, ran, told = fresh(figures, "--seeds", "1")
    assert str(ended).startswith("missed: ") and "NOT ALL OF IT WAS RUN" in said and not told["whole"], (path, said)
    # A recipe's figures are those of both networks here.
    assert sum(not r["holds"] for r in told["rows"]) == (2 if path[0] == "shrink" else 1), (path, told)

figures = good()
figures["deep_compression"]["lenet-5"]["evaluation"]["process"] = 1
with contextlib.suppress(AssertionError):
    fresh(figures)
    sys.exit("an error after that the same process measured was taken")
ended, said, ran, told = fresh(good(), "--seeds", "1", "2", "--models", "lenet-5", "--parts", "deep_compression")
assert ended == 0 and len(told["rows"]) == 2 and "mean of 2 of 5 seeds" in said and "NOT ALL OF IT WAS RUN" in said and not told["whole"], said
print(f"{len(misses)} misses are seen")
