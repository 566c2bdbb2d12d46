#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs distill as a user would and looks at what it leaves.

    check.py promise|recipe|same_bytes|same_bytes_of_processes|bad_input PROGRAM FOLDER "LAUNCHER OPTIONS -n"
"""
import json
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main

SMALL = ("--teacher-width", 48, "--width", 24, "--batch", 32, "--quiet", "--threads", 1)
STREAMED = ((2, 1), (3, 1), (4, 2))  # ranks, and how many of them teach


class Distill(Check):
    # --- what the page promises ----------------------------------------------------------------------------------------------------
    def promise(self):
        out = self.folder / "out"
        said = self.run(*SMALL, "--teacher-epochs", 20, "--epochs", 15, "--baseline", "--out", out, "--json", out.with_suffix(".json"))
        figures = json.loads(out.with_suffix(".json").read_text())
        assert json.loads((out / "report.json").read_text()) == figures
        for who in ("teacher", "baseline", "student"):
            errors = figures[who]["errors"]
            assert f"{errors} errors" in said, said
            assert errors < 0.15 * figures["samples"], figures  # guessing errs at 0.9
        assert figures["student"]["parameters"] == figures["baseline"]["parameters"] == 24 * (64 + 24 + 10) + 24 + 24 + 10
        assert figures["teacher"]["parameters"] == 48 * (64 + 48 + 10) + 48 + 48 + 10
        self.run("--evaluate", out / "student.safetensors", "--width", 24, "--json", out / "again.json", "--threads", 1)
        again = json.loads((out / "again.json").read_text())
        assert again["errors"] == figures["student"]["errors"] and again["judged_by"] == "test images", again
        # The teacher from its file, its scores from disk: all of them teach the same student.
        twice = self.folder / "twice"
        self.run(*SMALL, "--epochs", 15, "--teacher", out / "teacher.safetensors", "--top-k", 0, "--out", twice)
        assert (twice / "student.safetensors").read_bytes() == (out / "student.safetensors").read_bytes()
        some = self.folder / "some"
        some_said = self.run(*SMALL, "--epochs", 15, "--teacher", out / "teacher.safetensors", "--top-k", 3, "--out", some)
        # The teacher alone, judged by images that it has not learned from.
        held = self.folder / "held.json"
        samples = json.loads((out / "report.json").read_text())["samples"]
        said = self.run(*SMALL, "--epochs", 0, "--teacher-epochs", 20, "--validation", samples + 7, "--json", held)
        alone = json.loads(held.read_text())
        assert "student" not in alone and alone["samples"] == samples + 7 and alone["judged_by"] == "held-out training images" and "held out" in said, (alone, said)
        assert 0 < alone["teacher"]["errors"] < 0.15 * alone["samples"] and figures["judged_by"] == "test images", alone
        said = self.run("--evaluate", out / "student.safetensors", "--width", 24, "--validation", 50, "--json", held, "--threads", 1)
        assert json.loads(held.read_text())["judged_by"] == "held-out training images" and "error on held-out training images" in said and "test error" not in said, said
        said = self.run(*SMALL, "--epochs", 0, "--teacher", out / "teacher.safetensors", "--validation", 50)
        assert "whether it has learned from the images that are held out" in said, said
        targets = json.loads((some / "report.json").read_text())["targets"]
        assert targets["top_k"] == 3 and 0 < targets["dropped_mean"] <= targets["dropped_max"] < 1 and "3 of 10 scores kept" in some_said, (targets, some_said)

    # --- images are moved by the recipe where they are large enough, and where the teacher looks at the moved ones --------------------
    def recipe(self):
        def moved(*arguments):
            self.run(*SMALL, "--teacher-epochs", 1, "--epochs", 1, "--out", self.folder, "--json", self.folder / "moved.json", *arguments)
            m = json.loads((self.folder / "moved.json").read_text())["moved"]
            return [tuple(m[who][by] for by in ("shift", "turn", "bend")) for who in ("teacher", "student")]

        images = self.folder / "images"
        images.mkdir()
        for part, n in (("train", 40), ("t10k", 20)):
            pixels = bytes(i * 89 % 251 for i in range(n * 28 * 28))
            (images / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, n, 28, 28) + pixels)
            (images / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, n) + bytes(i % 10 for i in range(n)))
        none, all_of_them = (0, 0, 0), (1, 10, 4)
        assert moved() == [none, none]
        assert moved("--student-shift", 1) == [none, (1, 0, 0)]
        assert moved("--data", images) == [all_of_them, all_of_them]
        assert moved("--data", images, "--bend", 2, "--student-turn", 0) == [(1, 10, 2), (1, 0, 4)]
        assert moved("--data", images, "--top-k", 3) == [all_of_them, none]
        assert moved("--data", images, "--teacher-ranks", 1, "--thread-ranks", 2) == [all_of_them, none]

    # --- the same bytes on any number of ranks, wherever the teacher is: as threads, as processes -----------------------------------
    def bytes_of(self, name, *arguments, ranks=1, bend=0.5):
        short = SMALL + ("--teacher-epochs", 2, "--epochs", 2, "--deterministic", "--shift", 1, "--turn", 10, "--bend", bend)
        self.run(*short, "--out", self.folder / name, *arguments, ranks=ranks)
        return (self.folder / name / "student.safetensors").read_bytes()

    def same_bytes(self):
        for moved in ((), ("--student-shift", 1, "--student-bend", 0.5)):
            reference = self.bytes_of("alone", *moved)
            assert reference != self.bytes_of("straight", *moved, bend=0), "bending does nothing"
            assert reference != self.bytes_of("seed", "--seed", 2, *moved), "another seed gave the same bytes"
            for n in (2, 3, 4):
                assert self.bytes_of(f"threads{n}", "--thread-ranks", n, *moved) == reference, f"{n} thread ranks"
        reference = self.bytes_of("alone")
        for n, teachers in STREAMED:
            assert self.bytes_of("streamed", "--thread-ranks", n, "--teacher-ranks", teachers) == reference, f"{teachers} of {n} thread ranks teach"

    def same_bytes_of_processes(self):
        self.demand_launcher()
        for moved in ((), ("--student-shift", 1)):
            reference = self.bytes_of("alone", *moved)
            for n in self.rank_counts():
                assert self.bytes_of(f"ranks{n}", *moved, ranks=n) == reference, f"{n} MPI ranks"
        reference = self.bytes_of("alone")
        for n, teachers in STREAMED:
            assert self.bytes_of("streamed", "--teacher-ranks", teachers, ranks=n) == reference, f"{teachers} of {n} MPI ranks teach"

    # --- one sentence, a non-zero exit ---------------------------------------------------------------------------------------------
    def bad_input(self):
        def refused(words, *arguments):
            said = self.run(*SMALL, "--teacher-epochs", 1, "--epochs", 1, *arguments, fails=True)
            for w in words:
                assert w in said, f"'{w}' is not in:\n{said}"
            assert len([line for line in said.splitlines() if line.startswith("pleat:")]) <= 1, f"more than one sentence:\n{said}"

        out = self.folder / "good"
        self.run(*SMALL, "--teacher-epochs", 1, "--epochs", 1, "--out", out)
        refused(["there is no such folder"], "--data", self.folder / "nowhere")
        refused(["cannot make a file in", "nowhere"], "--data", self.folder / "nothing", "--json", self.folder / "nowhere" / "figures.json")  # before data are read
        refused(["'0' is not a number above 0"], "--temperature", 0)
        refused(["'2' is not a number from 0 to 1"], "--hard-weight", 2)
        early = self.folder / "early"  # before the teacher is trained
        refused(["--top-k: 11 scores of each sample are asked for, a teacher of this data has 10. "], "--top-k", 11, "--out", early)
        refused(["the temperature must be positive and its square a normal float, found 1e+30"], "--temperature", 1e30, "--out", early)
        assert not list(early.iterdir()), list(early.iterdir())
        # What is read, or of another option, is not written over; what has a name without --out, too, is tried before data are read.
        teacher, student = out / "teacher.safetensors", out / "student.safetensors"
        refused(["pleat: --json: ", "is the file that is read (--teacher)"], "--teacher", teacher, "--json", teacher)
        refused(["pleat: --json: ", "is the file that is read (--evaluate)"], "--evaluate", student, "--json", student)
        refused(["pleat: --out: ", "is the file that is read (--teacher)"], "--teacher", student, "--out", out)
        for name in (teacher, student):
            refused(["pleat: --json: ", "is the file of --out, too"], "--out", out, "--json", name)
        refused(["pleat: --json: ", "is the file of --top-k, too"], "--top-k", 3, "--out", out, "--json", out / "targets.safetensors")
        here = self.folder / "here"
        (here / "targets.safetensors").mkdir(parents=True)
        self.prefix = ["sh", "-c", 'cd "$0" && exec "$@"', str(here)]
        refused(["targets.safetensors", "this is a folder"], "--top-k", 3, "--data", self.folder / "nothing")
        self.prefix = []
        refused(["needs --student-shift 0"], "--top-k", 3, "--student-shift", 1)
        refused(["--student-bend 0"], "--teacher-ranks", 1, "--student-bend", 1)
        assert "needs a student that learns" in self.run(*SMALL, "--teacher-ranks", 1, "--epochs", 0, fails=True)
        refused(["nothing is left to learn from"], "--validation", 100000)
        refused(["--weight-decay", "is not a number of 0 or more"], "--weight-decay", "nan")
        refused(["choose one"], "--top-k", 3, "--teacher-ranks", 1)
        refused(["nobody is left to learn"], "--teacher-ranks", 1)
        refused(["fc1.weight", "shape"], "--teacher", out / "student.safetensors")
        good = (out / "teacher.safetensors").read_bytes()
        bad = self.folder / "bad.safetensors"
        for content in (b"", good[:100], good[:-3], good + b"x"):
            bad.write_bytes(content)
            refused(["bad.safetensors"], "--teacher", bad)


if __name__ == "__main__":
    main(Distill)
