#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains a small language model, puts it into every form and looks at the figures.

    check.py table|same_figures|refusals COMPRESS_GPT TRAIN_GPT FOLDER "LAUNCHER OPTIONS -n"
"""
import json
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main


class CompressGpt(Check):
    def text(self):
        """Numbers in words, counted on from a start that looks random: something to learn, something that stays uncertain."""
        words = "one two three four five six seven eight nine ten eleven twelve".split()
        path = self.folder / "numbers.txt"
        path.write_text("".join(" ".join(words[(i * i * 7 + i // 5 + k * (1 + i % 3)) % len(words)] for k in range(5)) + ".\n" for i in range(160)))
        return path

    def trained(self, width=64, layers=1, steps=60):
        """(model's file, text, figures of the training)"""
        text, out, said = self.text(), self.folder / "model.safetensors", self.folder / "training.json"
        self.run("--data", text, "--layers", layers, "--width", width, "--heads", 2, "--context", 16, "--batch", 8, "--steps", steps, "--learning-rate", 5e-3, "--warm-up", 10, "--threads", 1,
                 "--quiet", "--out", out, "--json", said, program=self.programs[1])
        return out, text, json.loads(said.read_text())

    def rows(self, model, text, *more, ranks=1):
        out = self.folder / "rows.json"
        out.unlink(missing_ok=True)
        self.run(model, "--data", text, "--samples", 24, "--threads", 1, "--json", out, *more, ranks=ranks)
        return {r["name"]: r for r in json.loads(out.read_text())["rows"]}

    def table(self):
        model, text, training = self.trained()
        files = self.folder / "files"
        rows = self.rows(model, text, "--keep", files)
        full = rows["float"]
        # The same windows as the training's own validation: the same scores, so the same loss but for the order of a few hundred sums of doubles.
        assert math.isclose(full["bits_per_character"] * math.log(2), training["validation_loss"], rel_tol=1e-11), (full, training["validation_loss"])
        assert full["divergence"] == 0 and full["same_choice"] == 1 and full["bits_per_weight"] == 32, full
        for name, r in rows.items():
            written = [f for f in files.iterdir() if f.stem == "".join(c if c.isalnum() else "_" for c in name)]
            assert len(written) == 1 and written[0].stat().st_size == r["bytes"], (name, written)
            assert sum(r["forms"].values()) == 4, r  # a block has four matrices
            if name != "float":
                assert 0 < r["divergence"] < 10 and r["bytes"] < full["bytes"], r
        # What the blocks are by definition: 34 and 18 bytes for 32 numbers, 144 for 256; half the numbers and 2 bits for each of these, or 1 for every one.
        bits = {"q8_0": 8.5, "q4_0": 4.5, "q4_K, else q4_0": 4.5, "4 bits, rounded": 4.5, "4 bits, GPTQ": 4.5, "2:4, magnitude": 17, "2:4, SparseGPT": 17, "50 %, magnitude": 17, "50 %, SparseGPT": 17}
        assert {n: r["bits_per_weight"] for n, r in rows.items() if n != "float"} == bits, rows
        assert rows["q4_K, else q4_0"]["forms"] == {"q4_0": 3, "q4_K": 1}, rows  # fc2 has 4 x 64 columns, the others 64
        # A step of 8 bits is a sixteenth of one of 4: noise of 1/256 the square, which is what the divergence grows with. A tenth leaves room for
        # the activations' own 8 bits, which are the same for both.
        kl = {n: r["divergence"] for n, r in rows.items()}
        assert kl["q8_0"] < 0.1 * kl["q4_0"], kl
        assert kl["4 bits, GPTQ"] < kl["4 bits, rounded"], kl
        # In their own norm both are better than the plain way, matrix by matrix.
        for name, r in rows.items():
            assert len(r["norms"]) == (4 if "GPT" in name else 0) and all(0 < n["norm"] < n["plain_norm"] for n in r["norms"]), (name, r["norms"])
        # Of the same pattern, what looks at the text loses less; of one method, a free choice of half loses less than two of four.
        assert kl["2:4, SparseGPT"] < kl["2:4, magnitude"] and kl["50 %, SparseGPT"] < kl["50 %, magnitude"], kl
        assert kl["50 %, magnitude"] < kl["2:4, magnitude"], kl
        assert kl["4 bits, rounded"] < kl["50 %, magnitude"], kl

    def same_figures(self):
        model, text, _ = self.trained(steps=20)
        # the speed is the machine's
        figures = lambda rows: {n: {k: v for k, v in r.items() if k != "characters_per_second"} for n, r in rows.items()}
        alone = figures(self.rows(model, text))
        assert figures(self.rows(model, text, "--thread-ranks", 3)) == alone
        assert figures(self.rows(model, text, "--batch", 3)) == alone, "how many windows go at once should not show"
        if self.has_launcher():
            assert figures(self.rows(model, text, ranks=2)) == alone
        assert figures(self.rows(model, text, "--windows", 3)) != alone, "fewer windows gave the same figures: are they compared?"

    def refusals(self):
        model, text, _ = self.trained(width=24, steps=2)
        assert "24 is no multiple of 32" in self.run(model, "--data", text, fails=True)
        other = self.folder / "other.txt"
        other.write_text("Other characters: XYZ! " * 40)
        model, text, _ = self.trained(width=32, steps=2)
        assert "other characters" in self.run(model, "--data", other, fails=True)
        assert "/nowhere" in self.run("/nowhere", "--data", text, fails=True)
        no_model = self.folder / "no.safetensors"
        no_model.write_bytes((2).to_bytes(8, "little") + b"{}")
        assert "no language model" in self.run(no_model, "--data", text, fails=True)
        assert "--data" in self.run(model, fails=True)
        assert "cannot make a file in" in self.run("/nowhere", "--data", text, "--json", self.folder / "none" / "figures.json", fails=True), "before the model is read"
        # What is read, or of another option, is not written over: nothing has been made.
        kept = self.folder / "kept"
        kept.mkdir()
        (kept / "float.safetensors").write_bytes(model.read_bytes())
        said = self.run(kept / "float.safetensors", "--data", text, "--keep", kept, fails=True)
        assert "pleat: --keep: " in said and "is the file that is read (MODEL)" in said, said
        said = self.run(model, "--data", text, "--keep", kept, "--json", kept / "q4_0.safetensors", fails=True)
        assert "pleat: --keep: " in said and "is the file of --json, too" in said, said
        assert [p.name for p in kept.iterdir()] == ["float.safetensors"] and (kept / "float.safetensors").read_bytes() == model.read_bytes()
        # Ranks that were asked other things would wait for each other.
        if self.has_launcher():
            self.prefix = [*self.launcher, "1"]
            said = self.run(model, "--data", text, ":", "-n", 1, self.program, model, "--data", text, "--windows", 3, fails=True)
            assert "what is asked of rank 1 is not that of rank 0: windows=3 there" in said, said


main(CompressGpt)
