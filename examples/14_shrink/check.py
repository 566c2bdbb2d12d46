#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs shrink as a user would and looks at what it leaves.

    check.py recipes|same_bytes|refusals SHRINK DISTILL FOLDER "LAUNCHER OPTIONS -n"
"""
import json
import shutil
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main


class Shrink(Check):
    def trained(self, width, epochs=15):
        """A student of labels alone: 64-width-width-10 on the shipped digits."""
        out = self.folder / f"width{width}"
        self.run("--teacher-width", 8, "--teacher-epochs", 1, "--width", width, "--epochs", epochs, "--hard-weight", 1, "--shift", 0, "--turn", 0, "--batch", 32, "--learning-rate", 2e-3,
                 "--out", out, "--quiet", "--threads", 1, program=self.programs[1])
        return out / "student.safetensors"

    def shrink(self, path, recipe, *arguments, ranks=1):
        out = self.folder / "small.safetensors"
        said = self.run(path, out, "--recipe", recipe, "--json", self.folder / "figures.json", "--quiet", "--threads", 1, *arguments, ranks=ranks)
        figures = json.loads((self.folder / "figures.json").read_text())
        assert figures["bytes_after"] == out.stat().st_size, figures
        blob = out.read_bytes()
        (n,) = struct.unpack("<Q", blob[:8])
        metadata = json.loads(blob[8 : 8 + n])["__metadata__"]
        assert "recipe" in metadata, metadata
        forms = {f"fc{i}.weight": metadata.get(f"pleat.form.fc{i}.weight", "dense") for i in (1, 2, 3)}
        return figures, forms, said, out

    # --- recipes, and what they leave ------------------------------------------------------------------------------------------------
    def recipes(self):
        model = self.trained(96)
        for recipe, form, least, most_error in (
            ("int8", "int8", 3, 0.02),
            ("bf16", "bf16", 1.8, 0.02),
            ("f16", "f16", 1.8, 0.005),
            ("q4_1", "q4_1", 4, 0.03),
            ("q5_0(ignore=fc2.*)|q5_1", "q5_0", 4, 0.02),
            ("q6_K", "q8_0", 3, 0.02),
            ("codebook(3, density)", "codebook", 5, 0.1),
            ("codebook(num_bits=4, rows=16, ignore=fc3.*)", "codebook", 4, 0.03),
            ("prune(pattern=2:4)|n_m", "2:4", 1.5, 0.1),
            ("prune(pattern=1:4)|fine_tune(5)|n_m(1:4)", "1:4", 2.5, 0.1),
            ("prune(0.9)|fine_tune(20, 2e-3)|block_1x4", "block_1x4", 1.5, 0.1),
            ("prune(0.5, layer, movement, epochs=3)|fine_tune(10, 2e-3)|bitmask", "bitmask", 1.6, 0.1),
            ("prune(global,0.9)|fine_tune(20, 2e-3)|int8", "int8", 3, 0.1),
            ("prune(0.6, wanda)|bitmask", "bitmask", 2, 0.15),
            ("prune(layer, pattern=2:4, by=taylor)|fine_tune(5)|csr", "csr", 1.2, 0.1),
            ("prune(0.8, steps=3)|bitmask", "bitmask", 3, 0.1),
            ("int8(fc3.*, tensor, static, percentile)", "int8", 3, 0.03),
            ("prune(0.9, scope=layer)|fine_tune(20, 2e-3)|csr", "csr", 3, 0.15),
            ("sparse_gpt(0.7)|fine_tune(5)|csr", "csr", 1.2, 0.1),
            ("prune(0.85)|distill(20, temperature=2, learning_rate=2e-3)|share(num_bits=4)|entropy", "coded", 6, 0.15),
            ("low_rank(rank=24, ignore=fc3.*)", "low_rank", 1.3, 0.1),
            ("low_rank(rank=16, samples=1, ignore=fc3.*)|fine_tune(5)", "low_rank", 1.8, 0.15),
            ("prune(0.8)|sparse_low_rank(share=0.2, rank=2)|fine_tune(5)", "sparse_low_rank", 1.2, 0.3),
            ("channels(0.5)|fine_tune(15, 2e-3)", "dense", 1.3, 0.1),
            ("int8(ignore=fc1.*)|q8_0(ignore=fc2.* fc3.*)", "q8_0", 2.8, 0.02),
            ("int4", "int4_g32", 4, 0.03),
            ("int4(group=64)", "int4_g64", 4, 0.03),
            ("prune(pattern=4:8)|fine_tune(5)|n_m(4:8)", "4:8", 1.5, 0.1),
            ("sparse_gpt(pattern=2:4)|n_m", "2:4", 1.5, 0.1),
            ("prune(0.8, layer)|fine_tune(5)|share(num_bits=4, rows=32)|entropy(5)", "coded", 5, 0.15),
            ("q4_K", "q4_0", 4, 0.05),
            ("gptq", "int4_g32", 4, 0.03),
            ("gptq(int8, actorder=1)", "int8", 3, 0.02),
            ("quantize_aware(int4, 5)|int4", "int4_g32", 4, 0.02),
            ("prune(0.5)|quantize_aware(epochs=3)|int8", "int8", 2.8, 0.02),
            ("quantize_aware(int8, 1)", "fake_quantized", 0.9, 0.05),
        ):
            figures, forms, said, out = self.shrink(model, recipe)
            assert figures["ratio"] > least, (recipe, figures)
            assert figures["error_after"] <= figures["error_before"] + most_error, (recipe, figures)
            assert figures["error_after"] == figures["stages"][-1]["test_error"], (recipe, figures)
            assert forms["fc1.weight"] == form, (recipe, forms)
            assert len(figures["stages"]) == recipe.count("|") + 2 and "run from the file" in said, (recipe, said)
        # What came out may go in again.
        first = self.folder / "first.safetensors"
        shutil.copy(self.shrink(model, "prune(0.9)")[3], first)
        assert self.shrink(first, "fine_tune(2)|csr")[1]["fc1.weight"] == "csr"
        # A pattern is kept exactly: two of every four columns.
        figures = self.shrink(model, "prune(pattern=2:4)")[0]
        fc1 = figures["stages"][-1]["layers"][0]
        assert 2 * fc1["nonzeros"] == fc1["parameters"], fc1
        picture = self.folder / "layers.svg"
        figures = self.shrink(model, "prune(0.5)|int8", "--svg", picture)[0]
        assert picture.read_text().count("fc2.weight") == 1 and picture.read_text().count("int8,") == 3, picture.read_text()
        last = figures["stages"][-1]
        assert last["latency_64_us"] > 0 and last["effective_multiply_adds"] < last["multiply_adds"] == figures["stages"][0]["multiply_adds"], last
        assert {e["kind"] for e in last["errors"]} == {"bounded"} and all(e["holds"] for e in last["errors"]), last
        words = self.run("--words")
        assert "prune([sparsity], [scope], [ignore], [by], [pattern], [steps], [epochs])" in words and "entropy([index_bits])" in words, words

    # --- the same bytes on any number of ranks ---------------------------------------------------------------------------------------
    def same_bytes(self):
        model = self.trained(24, 2)
        for recipe in ("prune(0.7)|fine_tune(2)|share(epochs=1)|entropy", "sparse_gpt(pattern=2:4)|distill(1)|n_m", "prune(0.5, taylor)|quantize_aware(int4, 1)|int4", "gptq(q8_0, ignore=fc3.*)|int8(static, kl)"):
            reference = self.shrink(model, recipe, "--deterministic")[3].read_bytes()
            for n in (2, 3, 4):
                assert self.shrink(model, recipe, "--deterministic", "--thread-ranks", n)[3].read_bytes() == reference, (recipe, n)
            for n in self.rank_counts()[:2]:  # as processes, too
                assert self.shrink(model, recipe, "--deterministic", ranks=n)[3].read_bytes() == reference, (recipe, n, "processes")

    # --- one sentence, a non-zero exit -----------------------------------------------------------------------------------------------
    def refusals(self):
        model, compressed = self.trained(24, 2), self.folder / "coded.safetensors"
        self.run(model, compressed, "--recipe", "prune(0.5)|int8", "--quiet", "--threads", 1)

        def refused(words, recipe, path=model, *arguments):
            said = self.run(path, self.folder / "none.safetensors", "--recipe", recipe, "--quiet", "--threads", 1, *arguments, fails=True)
            for w in words:
                assert w in said, f"'{w}' is not in:\n{said}"
            assert not (self.folder / "none.safetensors").exists()
            assert len([line for line in said.splitlines() if line.startswith("pleat:") and "left" not in line]) <= 1, f"more than one sentence:\n{said}"

        refused(["'prnue' is no word of a recipe", "Did you mean 'prune'?"], "prnue(0.9)")
        refused(["Did you mean 'int8'?"], "prune(0.9)|int9")
        refused(["has no 'sparsty'", "Did you mean 'sparsity'?"], "prune(sparsty=0.9)")
        refused(["neither a sparsity nor a pattern", "prune(pattern=2:4)"], "prune")
        refused(["both a sparsity and a pattern"], "prune(0.9, pattern=2:4)")
        refused(["pattern is '2-4', expected n:m"], "prune(pattern=2-4)")
        refused(["keeps 4 of every 2 columns"], "prune(pattern=4:2)")
        refused(["scope is 'globl'", "Did you mean 'global'?"], "prune(0.9, globl)")
        refused(["scope 'globl' is not known", "Did you mean 'global'?"], "prune(globl, 0.9)")
        refused(["by is 'tailor'", "Did you mean 'taylor'?"], "prune(0.9, by=tailor)")
        refused(["steps is 0, expected 1 to"], "prune(0.9, steps=0)")
        refused(["activations is 'statik'", "Did you mean 'static'?"], "int8(activations=statik)")
        refused(["the recipe is empty"], " ")
        refused(["do not match"], "prune(0.9")
        refused(["prunes after weights are quantized or factored", "Prune first, then quantize"], "int8|prune(0.9)")
        refused(["codes before weights share values", "Share first"], "prune(0.9)|entropy")
        refused(["factors would fill the zeros", "sparse_low_rank"], "prune(0.9)|low_rank(rank=4)")
        refused(["prunes after weights are quantized"], "prune(0.9)", compressed)
        refused(["trains codes of weights that are encoded already"], "int8|quantize_aware")
        refused(["form is 'int5'", "Did you mean 'int8'?"], "gptq(int5)")
        refused(["sparsity is 1.5, expected a share in [0, 1)"], "prune(1.5)")
        refused(["rank 11 of 'fc3.weight', which is 10 × 24: expected 1 to 10"], "low_rank(rank=11)")
        refused(["'q5_2' is no word of a recipe", "Did you mean 'q5_0'?"], "q5_2")
        refused(["Did you mean 'codebook'?"], "codebok(4)")
        refused(["by is 'movment'", "Did you mean 'movement'?"], "prune(0.5, by=movment)")
        refused(["epochs is 0, expected 1 to"], "prune(0.5, by=movement, epochs=0)")
        refused(["pattern is '3:4', expected 2:4, 1:4, 4:8"], "n_m(pattern=3:4)")
        refused(["start is 'dense'", "Did you mean 'density'?"], "codebook(start=dense)")
        refused(["num_bits is 9, expected 1 to 8"], "codebook(9)")
        refused(["num_bits is 100, expected 1 to 8"], "share(100)")
        refused(["index_bits is 9, expected 2 to 8"], "share|entropy(9)")
        refused(["group is '48', expected 32, 64, 128"], "int4(group=48)")
        refused(["neither a sparsity nor a pattern", "sparse_gpt(pattern=2:4)"], "sparse_gpt")
        refused(["learning_rate must be positive"], "fine_tune(learning_rate=0)")
        # Before any work is done: none of these may cost the epochs that stand before it.
        long = "fine_tune(100000)|"
        refused(["encodes after 'csr' has encoded every weight", "part the weights between them"], long + "csr|int8")
        refused(["encodes after 'share(num_bits=4)' has encoded every weight"], long + "share(4)|q8_0")
        refused(["sparsity is 1.5"], long + "prune(1.5)")
        refused(["temperature must be positive"], long + "distill(temperature=-1)")
        refused(["2 rules for the rank"], long + "low_rank(rank=2, energy=0.5)")
        refused(["'fc33.*' fits no name of the file", "fc3.weight"], long + "q8_0(fc33.*)")
        refused(["'nosuch' fits no name of the file"], long + "prune(0.9, ignore=fc1.* nosuch)")
        refused(["cannot make a file in", "nowhere"], long + "int8", model, "--json", self.folder / "nowhere" / "figures.json")
        refused(["cannot make a file in", "nowhere"], long + "int8", model, "--svg", self.folder / "nowhere" / "layers.svg", "--data", self.folder / "nothing")
        assert "cannot make a file in" in self.run(model, self.folder / "nowhere" / "small.safetensors", "--recipe", long + "int8", "--data", self.folder / "nothing", fails=True), "before data are read"
        assert "OUT is the file that is read" in self.run(model, model, "--recipe", "int8", fails=True)
        said = self.run(model, self.folder / "other.safetensors", "--recipe", "quantize_aware(int4, 1)|int8", "--quiet", "--threads", 1)
        assert "note: 'quantize_aware(form=int4, epochs=1)' trains codes of int4, and 'int8' stores other ones" in said, said
        refused(["prunes after weights are quantized"], "n_m|prune(0.9)")
        refused(["2 rules for the rank"], "low_rank(rank=2, energy=0.9)")
        refused(["temperature must be positive"], "distill(1, temperature=0)")
        refused(["expected a number"], "prune(much)")
        refused(["there is no such folder"], "int8", model, "--data", self.folder / "nowhere")
        good, bad = model.read_bytes(), self.folder / "bad.safetensors"
        for content in (b"", good[:100], good[:-3], good + b"x"):
            bad.write_bytes(content)
            refused(["bad.safetensors"], "int8", bad)
        (n,) = struct.unpack("<Q", good[:8])
        at = 8 + n + json.loads(good[8 : 8 + n])["fc2.bias"]["data_offsets"][0] + 4
        for value, word in ((b"\x00\x00\xc0\x7f", "NaN"), (b"\x00\x00\x80\xff", "infinite")):
            bad.write_bytes(good[:at] + value + good[at + 4 :])  # no step encodes or prunes a bias
            refused([f"element 1 of 'fc2.bias' is {word}"], "prune(0.5)|int8", bad)
        bad.write_bytes(good.replace(b"fc2.weight", b"fc2.wisdom"))
        refused(["fc2.wisdom", "is no weight of a layer that is known here"], "int8", bad)


if __name__ == "__main__":
    main(Shrink)
