#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs deep_compression as a user would and looks at what it leaves.

    check.py promise|same_bytes|bad_input PROGRAM FOLDER "LAUNCHER OPTIONS -n"
"""
import json
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main


class DeepCompression(Check):
    # --- what the page promises ----------------------------------------------------------------------------------------------------
    def promise(self):
        for model, sparsity, short in (("lenet-300-100", 0.9, ()), ("lenet-5", 0.93, ("--epochs", 12, "--prune-epochs", 16, "--retrain-epochs", 20, "--tune-epochs", 4))):
            out = self.folder / model
            said = self.run("--model", model, "--sparsity", sparsity, "--out", out, "--json", out.with_suffix(".json"), "--quiet", "--threads", 1, *short)
            figures = json.loads(out.with_suffix(".json").read_text())
            for key in ("error_before", "error_after", "bytes_before", "bytes_after", "ratio", "stages", "layers"):
                assert key in figures, f"{key} is missing from the JSON"
            assert json.loads((out / "report.json").read_text()) == figures
            stages = figures["stages"]
            assert [s["name"].split()[0] for s in stages] == ["trained", "prune", "fine_tune", "share", "entropy"], stages
            for s in stages:
                assert f'{100 * s["test_error"]:.2f} %' in said, "the table and the JSON disagree"
            # The figures are those of the files.
            small = out / "compressed.safetensors"
            assert figures["bytes_after"] == small.stat().st_size
            assert figures["ratio"] == figures["bytes_before"] / figures["bytes_after"]
            assert abs((out / "model.safetensors").stat().st_size - figures["bytes_before"]) < 200  # the description of the input
            # Every stage is smaller than the one before it (fine-tuning changes numbers only), coding changes no answer.
            sizes = [s["bytes"] for s in stages]
            assert sizes[0] > sizes[1] == sizes[2] > sizes[3] > sizes[4], sizes
            assert stages[3]["test_error"] == stages[4]["test_error"] == figures["error_after"], stages
            kept = sum(l["kept"] for l in figures["layers"])
            weights = sum(l["elements"] for l in figures["layers"])
            assert abs(kept - (1 - sparsity) * weights) <= 1, (kept, weights)
            # Guessing errs at 0.9. Eight bits a survivor and half a kilobyte of words per layer are less than a fifteenth of 32 bits a weight.
            assert figures["error_before"] < 0.1 and figures["error_after"] < 0.15, figures
            assert figures["ratio"] > 12, figures["ratio"]
            self.looks_into(small)
            # The error after is that of a process of its own, which had the file alone; on any number of ranks it is the same.
            apart = json.loads(small.with_suffix(".evaluation.json").read_text())
            assert figures["evaluation"] == apart and apart["process"] != figures["process"], figures
            assert figures["error_after"] == apart["error_after"] == apart["errors"] / apart["samples"] and apart["ranks"] == 1, figures
            for ranks in (1, *self.rank_counts()[:1]):
                self.run("--evaluate", small, "--json", out / "again.json", "--threads", 1, ranks=ranks)
                assert json.loads((out / "again.json").read_text())["error_after"] == figures["error_after"]

    @staticmethod
    def looks_into(path):
        """No matrix of floats is hidden in the file: weights are codes, biases alone are dense."""
        blob = path.read_bytes()
        (n,) = struct.unpack("<Q", blob[:8])
        header = json.loads(blob[8 : 8 + n])
        dense = [k for k, v in header.items() if k != "__metadata__" and v["dtype"] == "F32" and not k.endswith((".codebook", ".bias"))]
        assert not dense, dense

    # --- the same bytes on any number of ranks -------------------------------------------------------------------------------------
    def same_bytes(self):
        short = ("--epochs", 2, "--prune-epochs", 2, "--retrain-epochs", 1, "--tune-epochs", 2, "--deterministic", "--quiet", "--threads", 1)

        def bytes_of(name, *arguments, ranks=1):
            self.run(*short, "--out", self.folder / name, *arguments, ranks=ranks)
            return (self.folder / name / "compressed.safetensors").read_bytes()

        for model in ("lenet-300-100", "lenet-5"):
            reference = bytes_of("alone", "--model", model)
            assert reference != bytes_of("seed", "--model", model, "--seed", 2), "another seed gave the same bytes"
            for n in (2, 3, 4):
                assert bytes_of(f"threads{n}", "--model", model, "--thread-ranks", n) == reference, f"{n} thread ranks"
            for n in self.rank_counts():
                assert bytes_of(f"ranks{n}", "--model", model, ranks=n) == reference, f"{n} MPI ranks"

    # --- one sentence, a non-zero exit ---------------------------------------------------------------------------------------------
    def bad_input(self):
        def refused(words, *arguments):
            said = self.run(*arguments, fails=True)
            for w in words:
                assert w in said, f"'{w}' is not in:\n{said}"
            assert len([line for line in said.splitlines() if line.startswith("pleat:")]) <= 1, f"more than one sentence:\n{said}"

        out = self.folder / "good"
        self.run("--epochs", 1, "--prune-epochs", 1, "--retrain-epochs", 1, "--tune-epochs", 1, "--out", out, "--quiet", "--threads", 1)
        good = (out / "compressed.safetensors").read_bytes()
        refused(["there is no such folder"], "--data", self.folder / "nowhere")
        refused(["cannot make a file in", "nowhere"], "--data", self.folder / "nothing", "--json", self.folder / "nowhere" / "figures.json")  # before data are read
        refused(["--model"], "--model", "wheels")
        refused(["--bits"], "--bits", 9)
        refused(["--sparsity"], "--sparsity", 1)
        for option in ("--sparsity", "--learning-rate", "--weight-decay"):
            refused([option, "is not a number"], option, "nan")
        bad = self.folder / "bad.safetensors"
        for content in (b"", good[:100], good[:-3], good + b"x", bytes(255 - b for b in good)):
            bad.write_bytes(content)
            refused(["bad.safetensors"], "--evaluate", bad)
        # What is read, or of another option, is not written over; what has a name without --out, too, is tried before data are read.
        small = out / "compressed.safetensors"
        refused(["pleat: --json: ", "is the file that is read (--evaluate)"], "--evaluate", small, "--json", small)
        for name in ("model.safetensors", "compressed.safetensors", "compressed.evaluation.json", "report.svg"):
            refused(["pleat: --json: ", "is the file of ", ", too"], "--epochs", 1, "--out", out, "--json", out / name)
        assert small.read_bytes() == good
        here = self.folder / "here"
        (here / "deep_compression-lenet-5.safetensors").mkdir(parents=True)
        self.prefix = ["sh", "-c", 'cd "$0" && exec "$@"', str(here)]
        refused(["deep_compression-lenet-5.safetensors", "this is a folder"], "--model", "lenet-5", "--data", self.folder / "nothing")
        refused(["pleat: --json: ", "is the file of --model, too"], "--data", self.folder / "nothing", "--json", "./deep_compression-lenet-300-100.safetensors")
        self.prefix = []
        # A network that the program does not know.
        bad.write_bytes(good.replace(b"lenet-300-100", b"lenet-300-101"))
        refused(["lenet-300-101", "lenet-5"], "--evaluate", bad)


if __name__ == "__main__":
    main(DeepCompression)
