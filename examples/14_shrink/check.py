#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs shrink as a user would and looks at what it leaves.

    check.py recipes|arguments|convolutions|same_bytes|refusals SHRINK DISTILL FOLDER "LAUNCHER OPTIONS -n"
"""
import json
import random
import re
import shutil
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main


def blob_of(path):
    """(the header, the bytes of the weights) of a safetensors file."""
    content = path.read_bytes()
    (n,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + n]), content[8 + n :]


def write_safetensors(path, shapes, seed=1):
    """A plain file as PyTorch would write it: weights drawn as He et al. do, norms that have seen nothing, biases zero."""
    draw, header, body = random.Random(seed), {}, b""
    for name, shape in shapes.items():
        size = columns = 1
        for i, extent in enumerate(shape):
            size *= extent
            columns *= extent if i else 1
        one = 1.0 if name.endswith((".running_var", ".weight")) else 0.0
        data = struct.pack(f"<{size}f", *(draw.gauss(0, (2 / columns) ** 0.5) if len(shape) > 1 else one for _ in range(size)))
        kind = "F32"
        if name.endswith(".num_batches_tracked"):
            kind, data = "I64", struct.pack("<q", 0)
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


# Of every key of every word: recipes that must leave different bytes. A key that is accepted and changes nothing fails.
DIFFERENT = {
    "prune": {
        "sparsity": ["prune(0.5)", "prune(0.7)"],
        "scope": ["prune(0.5)", "prune(0.5, layer)", "prune(0.5, row)", "prune(0.5, group, groups=conv*; fc1*)"],
        "groups": ["prune(0.5, group, groups=conv*; fc1*)", "prune(0.5, group, groups=conv* fc2*)"],
        "normalised": ["prune(0.5)", "prune(0.5, normalised=1)"],
        "ignore": ["prune(0.5)", "prune(0.5, ignore=fc1.*)"],
        "by": ["prune(0.5, layer)", "prune(0.5, layer, taylor)", "prune(0.5, layer, wanda)", "prune(0.5, layer, movement)"],
        "pattern": ["prune(pattern=2:4, ignore=conv*)", "prune(pattern=1:4, ignore=conv*)"],
        "steps": ["prune(0.7, steps=2)", "prune(0.7, steps=3)"],
        "schedule": ["prune(0.7, steps=3)", "prune(0.7, steps=3, schedule=iterative)"],
        "epochs": ["prune(0.7, steps=2)", "prune(0.7, steps=2, epochs=2)"],
        "learning_rate": ["prune(0.7, steps=2)", "prune(0.7, steps=2, learning_rate=1e-3)"],
    },
    "sparse_gpt": {
        "sparsity": ["sparse_gpt(0.5)", "sparse_gpt(0.7)"],
        "ignore": ["sparse_gpt(0.5)", "sparse_gpt(0.5, fc1.*)"],
        "pattern": ["sparse_gpt(pattern=2:4, ignore=conv*)", "sparse_gpt(pattern=1:4, ignore=conv*)"],
        "dampening": ["sparse_gpt(0.5)", "sparse_gpt(0.5, dampening=1)"],
    },
    "channels": {
        "multiply_adds": ["channels(0.5)", "channels(0.3)"],
        "by": ["channels(0.5)", "channels(0.5, taylor)", "channels(0.5, wanda)"],
        "scope": ["channels(0.5)", "channels(0.5, layer)"],
        "round_to": ["channels(0.5)", "channels(0.5, round_to=7)"],
        "ignore": ["channels(0.5)", "channels(0.5, ignore=conv1.*)"],
    },
    "fold": {"ignore": ["fold", "fold(ignore=bn1)"]},
    "fine_tune": {"epochs": ["fine_tune(1)", "fine_tune(2)"], "learning_rate": ["fine_tune(1)", "fine_tune(1, 1e-3)"]},
    "distill": {
        "epochs": ["distill(1)", "distill(2)"],
        "temperature": ["distill(1)", "distill(1, temperature=1)"],
        "hard_weight": ["distill(1)", "distill(1, hard_weight=0.9)"],
        "learning_rate": ["distill(1)", "distill(1, learning_rate=1e-3)"],
        "teacher": ["distill(1)", "distill(1, teacher=TEACHER)"],
    },
    "int8": {
        "ignore": ["int8", "int8(fc1.*)"],
        "scales": ["int8", "int8(tensor)"],
        "activations": ["int8", "int8(static)"],
        "observer": ["int8", "int8(percentile, percentile=97)", "int8(mean_square)", "int8(kl)"],
        "percentile": ["int8(percentile, percentile=90)", "int8(static, percentile, percentile=97)"],
    },
    "int4": {"ignore": ["int4", "int4(fc1.*)"], "group": ["int4", "int4(64)", "int4(128)"]},
    "gptq": {
        "form": [f"gptq({f})" for f in ("int4", "int8", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_K", "q6_K")],
        "actorder": ["gptq", "gptq(actorder=1)"],
        "ignore": ["gptq", "gptq(ignore=fc1.*)"],
        "group": ["gptq", "gptq(group=64)", "gptq(group=128)"],
        "dampening": ["gptq", "gptq(dampening=1)"],
    },
    "quantize_aware": {
        "form": [f"quantize_aware({f}, 1)" for f in ("int8", "int4", "q8_0", "q5_0", "q4_0")],
        "epochs": ["quantize_aware(int8, 1)", "quantize_aware(int8, 2)"],
        "learning_rate": ["quantize_aware(int8, 1)", "quantize_aware(int8, 1, 1e-3)"],
        "ignore": ["quantize_aware(int8, 1)", "quantize_aware(int8, 1, ignore=fc1.*)"],
        "group": ["quantize_aware(int4, 1)", "quantize_aware(int4, 1, group=64)", "quantize_aware(int4, 1, group=128)"],
        "steps": ["quantize_aware(int8, 1)", "quantize_aware(int8, 1, steps=largest)"],
        "activations": ["quantize_aware(int8, 1)", "quantize_aware(int8, 1, static)"],
        "observer": ["quantize_aware(int8, 1, static)", "quantize_aware(int8, 1, static, kl)"],
        "percentile": ["quantize_aware(int8, 1, static)", "quantize_aware(int8, 1, static, percentile, percentile=97)"],
    },
    "n_m": {"pattern": ["n_m", "n_m(1:4)", "n_m(4:8)", "n_m(3:8, ignore=conv1.*)"], "ignore": ["n_m", "n_m(ignore=fc1.*)"]},
    "codebook": {
        "num_bits": ["codebook", "codebook(3)"],
        "start": ["codebook", "codebook(start=density)", "codebook(start=random)"],
        "rows": ["codebook", "codebook(rows=2)"],
        "ignore": ["codebook", "codebook(ignore=fc1.*)"],
    },
    "low_rank": {
        "energy": ["low_rank", "low_rank(0.7)"],
        "rank": ["low_rank(rank=4)", "low_rank(rank=3)"],
        "error": ["low_rank(error=0.3)", "low_rank(error=0.5)"],
        "budget": ["low_rank(budget=0.5)", "low_rank(budget=0.4)"],
        "evbmf": ["low_rank(ignore=conv*)", "low_rank(evbmf=1, ignore=conv*)"],
        "samples": ["low_rank(rank=4)", "low_rank(rank=4, samples=1)"],
        "randomized": ["low_rank(rank=4)", "low_rank(rank=4, randomized=1)"],
        "round_to": ["low_rank(0.7)", "low_rank(0.7, round_to=8)"],
        "ignore": ["low_rank", "low_rank(ignore=fc1.*)"],
    },
    "sparse_low_rank": {
        "share": ["sparse_low_rank(0.1, 2)", "sparse_low_rank(0.05, 2)"],
        "rank": ["sparse_low_rank(0.1, 2)", "sparse_low_rank(0.1, 3)"],
        "ignore": ["sparse_low_rank(0.1, 2)", "sparse_low_rank(0.1, 2, fc1.*)"],
    },
    "spatial_low_rank": {
        "energy": ["spatial_low_rank(0.5)", "spatial_low_rank(0.8)"],
        "rank": ["spatial_low_rank(rank=1)", "spatial_low_rank(rank=2)"],
        "error": ["spatial_low_rank(error=0.9)", "spatial_low_rank(error=0.4)"],
        "budget": ["spatial_low_rank(budget=0.8)", "spatial_low_rank(budget=0.5)"],
        "ignore": ["spatial_low_rank(rank=1)", "spatial_low_rank(rank=1, ignore=conv1.*)"],
    },
    "share": {
        "num_bits": ["share", "share(3)"],
        "epochs": ["share", "share(epochs=1)"],
        "learning_rate": ["share(epochs=1)", "share(epochs=1, learning_rate=1e-3)"],
        "ignore": ["share", "share(ignore=fc1.*)"],
        "rows": ["share", "share(rows=2)"],
        "start": ["share", "share(start=density)", "share(start=random)"],
        "widths": ["share", "share(widths=fc1.*:6 conv*:8)"],
    },
    "entropy": {"index_bits": ["prune(0.8)|share|entropy(3)", "prune(0.8)|share|entropy(6)"]},
}
for form in ("bf16", "f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_K", "q6_K", "bitmask", "csr", "block_1x4"):
    DIFFERENT[form] = {"ignore": [form, f"{form}(fc1.*)"]}

# What would be accepted and ignored.
SAYS_NOTHING = [
    ("prune(layer, pattern=2:4)", "scope"),
    ("prune(global, pattern=2:4, ignore=conv*)", "scope"),
    ("prune(pattern=2:4, normalised=1)", "normalised"),
    ("prune(0.5, layer, normalised=1)", "normalised"),
    ("prune(0.5, wanda, normalised=1)", "normalised"),
    ("prune(0.5, row, groups=conv*)", "groups"),
    ("prune(0.5, steps=1, epochs=3)", "epochs"),
    ("prune(0.5, steps=1, schedule=iterative)", "schedule"),
    ("prune(0.5, learning_rate=1e-3)", "learning_rate"),
    ("int8(percentile=99)", "percentile"),
    ("int8(observer=kl, percentile=99)", "percentile"),
    ("gptq(q8_0, group=64)", "group"),
    ("quantize_aware(group=64)", "group"),
    ("quantize_aware(int4, static)", "activations"),
    ("quantize_aware(kl)", "observer"),
    ("quantize_aware(static, percentile=97)", "percentile"),
    ("low_rank(energy=0.9, randomized=1)", "randomized"),
    ("share(learning_rate=1e-3)", "learning_rate"),
    ("share(epochs=0, learning_rate=1e-3)", "learning_rate"),
]


class Shrink(Check):
    def drawn(self, name, seed=1, other={}):
        """A file of a small convolutional network for the shipped digits, which nobody has trained."""
        shapes = {"conv1.weight": (8, 1, 3, 3), "conv1.bias": (8,), "conv2.weight": (32, 8, 4, 4), "conv2.bias": (32,), "fc1.weight": (64, 32), "fc1.bias": (64,), "fc2.weight": (10, 64), "fc2.bias": (10,)}
        shapes.update(other)
        return write_safetensors(self.folder / f"{name}.safetensors", {k: s for k, s in shapes.items() if s}, seed)

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

    @staticmethod
    def norms():
        """Of the convolutions and the first product, whose biases they make superfluous; with PyTorch's counters."""
        return {f"bn{i}.{what}": (n,) if what != "num_batches_tracked" else () for i, n in ((1, 8), (2, 32), (3, 64))
                for what in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}

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
            ("prune(pattern=2:4, by=taylor)|fine_tune(5)|csr", "csr", 1.2, 0.1),
            ("prune(0.8, steps=3)|bitmask", "bitmask", 3, 0.1),
            ("int8(fc3.*, tensor, static, percentile)", "int8", 3, 0.03),
            ("prune(0.9, scope=layer)|fine_tune(20, 2e-3)|csr", "csr", 3, 0.15),
            ("sparse_gpt(0.7)|fine_tune(5)|csr", "csr", 1.2, 0.1),
            ("prune(0.85)|distill(20, temperature=2, learning_rate=2e-3)|share(num_bits=4)|entropy", "coded", 6, 0.15),
            ("low_rank(rank=24, ignore=fc3.*)", "low_rank", 1.3, 0.1),
            ("low_rank(rank=16, samples=1, ignore=fc3.*)|fine_tune(5)", "low_rank", 1.8, 0.15),
            ("prune(0.8)|sparse_low_rank(share=0.2, rank=2)|fine_tune(5)", "sparse_low_rank", 1.2, 0.3),
            ("low_rank(rank=24, ignore=fc3.*)|int8", "factors", 4, 0.06),
            ("low_rank(budget=0.5)|q4_0|int8", "factors", 5, 0.15),
            ("prune(0.8)|sparse_low_rank(share=0.2, rank=2, ignore=fc3.*)|bf16", "factors", 1.2, 0.3),
            ("low_rank(rank=24, ignore=fc3.*)|gptq(ignore=fc1.* fc2.*)", "low_rank", 1.3, 0.1),
            ("channels(0.5)|fine_tune(15, 2e-3)", "dense", 1.3, 0.1),
            ("int8(ignore=fc1.*)|q8_0(ignore=fc2.* fc3.*)", "q8_0", 2.8, 0.02),
            ("int4", "int4_g32", 4, 0.03),
            ("int4(group=64)", "int4_g64", 4, 0.03),
            ("prune(pattern=4:8)|fine_tune(5)|n_m(4:8)", "4:8", 1.5, 0.1),
            ("sparse_gpt(pattern=2:4)|n_m", "2:4", 1.5, 0.1),
            ("prune(pattern=3:8)|fine_tune(3)|n_m(3:8)", "bitmask", 1.8, 0.1),
            ("prune(0.8, layer)|fine_tune(5)|share(num_bits=4, rows=32)|entropy(5)", "coded", 5, 0.15),
            ("q4_K", "q4_0", 4, 0.05),
            ("gptq", "int4_g32", 4, 0.03),
            ("gptq(int8, actorder=1)", "int8", 3, 0.02),
            ("quantize_aware(int4, 5)|int4", "int4_g32", 4, 0.02),
            ("prune(0.5)|quantize_aware(epochs=3)|int8", "int8", 2.8, 0.02),
            ("quantize_aware(epochs=3, static)|int8", "int8", 2.8, 0.02),
            ("quantize_aware(int8, 1)", "fake_quantized", 0.9, 0.05),
        ):
            figures, forms, said, out = self.shrink(model, recipe)
            assert figures["ratio"] > least, (recipe, figures)
            assert figures["error_after"] <= figures["error_before"] + most_error, (recipe, figures)
            assert figures["error_after"] == figures["stages"][-1]["test_error"], (recipe, figures)
            assert forms["fc1.weight"] == form, (recipe, forms)
            # Of each weight that gptq or sparse_gpt moved: what the outputs miss, beside the plain way. On inputs that depend on each other
            # (neighbouring pixels) both gain with every weight of these.
            moved = 3 if recipe.startswith(("gptq", "sparse_gpt")) else recipe.count("gptq")  # behind another step: of one weight
            assert len(figures["norms"]) == moved and all(0 < n["norm"] < n["plain_norm"] for n in figures["norms"]), (recipe, figures["norms"])
            assert len(figures["stages"]) == recipe.count("|") + 2 and "run from the file" in said, (recipe, said)
        # What came out may go in again.
        first = self.folder / "first.safetensors"
        shutil.copy(self.shrink(model, "prune(0.9)")[3], first)
        assert self.shrink(first, "fine_tune(2)|csr")[1]["fc1.weight"] == "csr"
        # Factors that are stored in int8 have the rank of those in float: a quarter of the bytes, as many multiply-adds; and
        # what the two steps lost adds up.
        recipes = [self.shrink(model, recipe)[0] for recipe in ("low_rank(rank=24, ignore=fc3.*)", "low_rank(rank=24, ignore=fc3.*)|int8")]
        thin, small = (f["stages"][-1] for f in recipes)
        assert thin["multiply_adds"] == small["multiply_adds"] < recipes[0]["stages"][0]["multiply_adds"], (thin, small)
        for a, b in zip(thin["layers"], small["layers"]):
            assert a["multiply_adds"] == b["multiply_adds"] and 3 < a["bytes"] / b["bytes"] < 4, (a, b)
        assert all(e["kind"] == "bounded" and e["holds"] and e["measured"]["max"] > 0 for e in small["errors"]), small
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
        # A layer of zeros and one of a single value go through as they are: no range is zero, no row without a value.
        flat, held = bytearray(model.read_bytes()), blob_of(model)[0]
        begin = len(flat) - max(w["data_offsets"][1] for name, w in held.items() if name != "__metadata__")
        for name, value in (("fc1.weight", 0.5), ("fc2.weight", 0.0)):
            at, end = (begin + offset for offset in held[name]["data_offsets"])
            flat[at:end] = struct.pack("<f", value) * ((end - at) // 4)
        bare = self.folder / "bare.safetensors"
        bare.write_bytes(flat)
        for recipe, form in (("int8(static, kl)", "int8"), ("gptq", "int4_g32"), ("prune(0.5, wanda)|share|entropy", "coded"), ("low_rank(0.9)", "low_rank"), ("quantize_aware(int8, 1, static)|int8", "int8")):
            figures, forms, said, out = self.shrink(bare, recipe)
            assert forms["fc1.weight"] == form and 0 <= figures["error_after"] <= 1 and "run from the file" in said, (recipe, forms, said)
        words = self.run("--words")
        assert "prune([sparsity], [scope], [ignore], [by], [pattern], [steps], [epochs], [schedule], " in words and "entropy([index_bits])" in words, words

    # --- every argument of every word has a say, or is refused -------------------------------------------------------------------------
    def arguments(self):
        said = self.run("--words")
        words = {m[1]: re.findall(r"\w+", m[2] or "") for m in re.finditer(r"^(\w+)(?:\((.*)\))?$", said, re.M)}
        assert {w: set(k) for w, k in words.items()} == {w: set(k) for w, k in DIFFERENT.items()}, "a word or an argument that is not looked at here"
        model, teacher, left = self.drawn("drawn", 1, {"fc1.weight": (256, 32), "fc1.bias": (256,), "fc2.weight": (10, 256)}), self.drawn("teacher", 2), {}

        normed = self.drawn("normed", 1, self.norms())

        def leaves(recipe):
            if recipe not in left:
                out = self.folder / "small.safetensors"
                self.run(normed if "fold" in recipe else model, out, "--recipe", recipe.replace("TEACHER", str(teacher)), "--quiet", "--threads", 1, "--deterministic", "--seed", 1, *(("--samples", 32) if re.search("taylor|wanda|gpt|static|samples=1", recipe) else ()))
                header, body = blob_of(out)
                header.pop("__metadata__")
                left[recipe] = json.dumps(header) + body.hex()
            return left[recipe]

        same = []
        for word, keys in DIFFERENT.items():
            for key, recipes in keys.items():
                for i, one in enumerate(recipes):
                    for other in recipes[:i]:
                        if leaves(one) == leaves(other):
                            same.append(f"{word}: '{one}' and '{other}' leave the same, so '{key}' does nothing")
        assert not same, "\n".join(same)
        for recipe, key in SAYS_NOTHING:
            said = self.run(model, self.folder / "none.safetensors", "--recipe", "fine_tune(100000)|" + recipe, "--quiet", fails=True)
            assert f"'{key}' would do nothing here" in said and f"Leave {key} out" in said, said
        # A pattern without a form of its own is what pruning to it leaves, a bit for every element.
        assert leaves("n_m(3:8, ignore=conv1.*)") == leaves("prune(pattern=3:8, ignore=conv1.*)|bitmask(conv1.*)")
        # a switch that is off is no second rule
        assert leaves("low_rank(rank=4, evbmf=0)") == leaves("low_rank(rank=4)")
        print(f"{len(left)} recipes, {sum(len(k) for k in DIFFERENT.values())} arguments of {len(DIFFERENT)} words")

    # --- networks with convolutions --------------------------------------------------------------------------------------------------
    def convolutions(self):
        model, out = self.folder / "trained.safetensors", self.folder / "small.safetensors"
        self.run(self.drawn("drawn"), model, "--recipe", "fine_tune(12, 3e-3)", "--quiet", "--threads", 1)
        for recipe, form, least, most_error in (
            ("int8", "int8", 2.5, 0.02),
            ("int8(static, kl)", "int8", 2.5, 0.03),
            ("q8_0", "q8_0", 2.5, 0.02),
            ("prune(0.8)|fine_tune(5, 3e-3)|csr", "csr", 1.8, 0.15),
            ("prune(0.7, group, groups=conv*; fc*, normalised=1)|fine_tune(5, 3e-3)|bitmask", "bitmask", 2, 0.1),
            ("prune(pattern=2:4, ignore=conv1.*)|fine_tune(3)|n_m(ignore=conv1.*)", "2:4", 1.4, 0.05),
            ("prune(0.8, steps=3, schedule=iterative, learning_rate=3e-3)|fine_tune(5, 3e-3)|share(widths=conv*:6)|entropy", "coded", 4, 0.15),
            ("spatial_low_rank(rank=6, ignore=conv1.*)|fine_tune(5, 3e-3)|q8_0(ignore=conv*)", "spatial_low_rank", 2, 0.1),
            ("low_rank(rank=16, ignore=conv1.* fc2.*, randomized=1)|fine_tune(5, 3e-3)", "low_rank", 1.2, 0.1),
            ("channels(0.5, taylor, round_to=4)|fine_tune(8, 3e-3)", "dense", 1.5, 0.1),
            ("sparse_gpt(0.6)|bitmask", "bitmask", 1.8, 0.1),
            ("gptq(q4_1)", "q4_1", 4, 0.05),
            ("quantize_aware(q5_0, 3)|q5_0", "q5_0", 3, 0.03),
            ("codebook(4)", "codebook", 4, 0.1),
        ):
            said = self.run(model, out, "--recipe", recipe, "--json", self.folder / "figures.json", "--quiet", "--threads", 1)
            figures, metadata = json.loads((self.folder / "figures.json").read_text()), blob_of(out)[0]["__metadata__"]
            assert figures["error_before"] < 0.1, figures["error_before"]
            assert figures["ratio"] > least and figures["error_after"] <= figures["error_before"] + most_error, (recipe, figures["ratio"], figures["error_before"], figures["error_after"])
            assert metadata.get("pleat.form.conv2.weight", "dense") == form, (recipe, metadata)
            assert figures["error_after"] == figures["stages"][-1]["test_error"] and "run from the file" in said, (recipe, figures)
        # Batch norms are found, trained and folded; the folded file goes in again.
        normed, folded = self.folder / "normed.safetensors", self.folder / "folded.safetensors"
        self.run(self.drawn("drawn_norms", 1, {**self.norms(), "conv1.bias": None, "conv2.bias": None, "fc1.bias": None}), normed, "--recipe", "fine_tune(8, 3e-3)", "--quiet", "--threads", 1)
        self.run(normed, folded, "--recipe", "fold", "--json", self.folder / "figures.json", "--quiet", "--threads", 1)
        figures, names = json.loads((self.folder / "figures.json").read_text()), set(blob_of(folded)[0]) - {"__metadata__"}
        assert names == {f"{layer}.{what}" for layer in ("conv1", "conv2", "fc1", "fc2") for what in ("weight", "bias")}, names
        assert "bn1.running_var" in blob_of(normed)[0] and abs(figures["error_after"] - figures["error_before"]) < 0.01 and figures["error_before"] < 0.1, figures
        said = self.run(folded, out, "--recipe", "int8", "--quiet", "--threads", 1)
        said = self.run(folded, self.folder / "none.safetensors", "--recipe", "fold", "--quiet", "--threads", 1, fails=True)
        assert "no batch norm can be folded" in said, said
        said = self.run(normed, self.folder / "none.safetensors", "--recipe", "int8|fold", "--quiet", "--threads", 1, fails=True)
        assert "Fold first, then quantize" in said, said
        said = self.run(normed, self.folder / "none.safetensors", "--recipe", "fine_tune(100000)|fold(bn7)", "--quiet", "--threads", 1, fails=True)
        assert "'bn7' fits no name of the file, which has bn1, bn2, bn3" in said, said
        # The same bytes on any number of ranks.
        for recipe in ("prune(0.7)|fine_tune(1)|share(epochs=1)|entropy", "channels(0.6)|spatial_low_rank(rank=2)|int8(ignore=conv*)"):
            reference = None
            for ranks in (1, 3):
                self.run(model, out, "--recipe", recipe, "--quiet", "--threads", 1, "--deterministic", *(("--thread-ranks", ranks) if ranks > 1 else ()))
                reference = reference or out.read_bytes()
                assert out.read_bytes() == reference, (recipe, ranks)
        # What is no chain of layers is refused with the weight that does not fit.
        for changes, words in (
            ({"conv1.weight": (8, 3, 3, 3)}, ["'conv1.weight' of shape [8, 3, 3, 3] follows on nothing of 1 channels"]),
            ({"conv2.weight": (32, 9, 4, 4)}, ["'conv2.weight' of shape [32, 9, 4, 4] follows on nothing of 8 channels"]),
            ({"fc1.weight": (64, 120)}, ["no fully connected layer takes what the convolutions make of a sample [1, 8, 8]"]),
            ({"fc2.weight": (10, 63)}, ["'fc2.weight' of shape [10, 63] follows on nothing of 64 elements"]),
            ({"conv1.weight": (8, 1, 3)}, ["'conv1.weight' of shape [8, 1, 3] is no weight of a layer that is known here"]),
            ({f"fc{i}.{what}": None for i in (1, 2) for what in ("weight", "bias")}, ["the file holds no fully connected layer"]),
            ({"bn.running_mean": (31,)}, ["1 batch norms of 31 features ('bn' is one) for 0 layers"]),
            ({"bn.running_mean": (10,)}, ["1 batch norms of 10 features ('bn' is one) for 0 layers"]),
        ):
            said = self.run(self.drawn("bad", 1, changes), self.folder / "none.safetensors", "--recipe", "int8", "--quiet", fails=True)
            assert all(w in said for w in words) and "This program takes convolutions" in said, said

    # --- the same bytes on any number of ranks ---------------------------------------------------------------------------------------
    def same_bytes(self):
        model = self.trained(24, 2)
        for recipe in ("prune(0.7)|fine_tune(2)|share(epochs=1)|entropy", "sparse_gpt(pattern=2:4)|distill(1)|n_m", "prune(0.5, taylor)|quantize_aware(int4, 1)|int4", "gptq(q8_0, ignore=fc3.*)|int8(static, kl)", "low_rank(rank=6, ignore=fc3.*)|int8"):
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
        refused(["prunes after weights are quantized or factored", "sparse_low_rank, which keeps"], "low_rank(rank=4)|prune(0.9)")
        refused(["'csr' stores whole weights", "'low_rank(rank=4)' has factored in float", "Factors take int8"], "low_rank(rank=4)|csr")
        refused(["'gptq' stores whole weights", "low_rank(ignore=fc3.*)|gptq(ignore=fc1.* fc2.*)"], "low_rank(rank=4)|gptq")
        refused(["would leave the kernels that 'spatial_low_rank' has factored", "int8(ignore=conv*)"], "spatial_low_rank|int8")
        refused(["shares values of weights that are encoded already"], "low_rank(rank=4)|share")
        refused(["trains codes of weights that are encoded already"], "low_rank(rank=4)|quantize_aware")
        refused(["round_to is 0, expected 1 to"], "low_rank(round_to=0)")
        refused(["trains codes of weights that are encoded already"], "int8|quantize_aware")
        refused(["form is 'int5'", "Did you mean 'int8'?"], "gptq(int5)")
        refused(["sparsity is 1.5, expected a share in [0, 1)"], "prune(1.5)")
        refused(["rank 11 of 'fc3.weight', which is 10 × 24: expected 1 to 10"], "low_rank(rank=11)")
        refused(["'q5_2' is no word of a recipe", "Did you mean 'q5_0'?"], "q5_2")
        refused(["Did you mean 'codebook'?"], "codebok(4)")
        refused(["by is 'movment'", "Did you mean 'movement'?"], "prune(0.5, by=movment)")
        refused(["epochs is 0, expected 1 to"], "prune(0.5, by=movement, epochs=0)")
        refused(["pattern is '3-4', expected n:m", "2:4 keeps two of every four columns"], "n_m(pattern=3-4)")
        refused(["keeps 4 of every 4 columns: 1 <= n < m is needed"], "n_m(4:4)")
        refused(["keeps 0 of every 4 columns"], "n_m(0:4)")
        refused(["'n_m(pattern=3:7)' fits no weight", "Choose an m that divides the columns"], "n_m(3:7)")
        refused(["asks for dynamic activations after 'quantize_aware(activations=static)'", "Leave out activations=dynamic"], "quantize_aware(static)|int8(dynamic)")
        refused(["no step of 'prune(0.5)|int8' looks at samples", "Leave --samples out"], "prune(0.5)|int8", model, "--samples", 100)
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
        before = model.read_bytes()
        assert "is the file that is read (IN)" in self.run(model, model, "--recipe", "int8", fails=True)
        refused(["pleat: --json: ", "is the file that is read (IN)"], "int8", model, "--json", model)
        refused(["pleat: --svg: ", "is the file that is read (IN)"], "int8", model, "--svg", model)
        teacher = self.folder / "teacher.safetensors"
        teacher.write_bytes(before)
        refused(["pleat: --json: ", "is the file that is read (teacher)"], f"distill(1, teacher={teacher})|int8", model, "--json", teacher)
        assert teacher.read_bytes() == before, "the teacher is not what it was"
        refused(["pleat: --json: ", "is the file of OUT, too"], "int8", model, "--json", self.folder / "none.safetensors")
        assert model.read_bytes() == before, "the model that was read is not what it was"
        refused(["'quantize_aware(form=int4, epochs=1)' trains codes of int4, and 'int8' stores other ones", "Say the same form and group"], "quantize_aware(int4, 1)|int8")
        refused(["trains codes of int4, and 'int4(group=64)' stores other ones"], "quantize_aware(int4)|int4(group=64)")
        refused(["prunes after weights are quantized"], "n_m|prune(0.9)")
        refused(["does not say which weights compete together", "groups=conv*"], "prune(0.5, group)")
        refused(["'fc9*' fits no name of the file"], long + "prune(0.5, groups=fc1*; fc9*)")
        refused(["'fc9*' fits no name of the file"], long + "share(widths=fc9*:6)")
        refused(["'fc1*:9' is no width", "1 to 8 bits"], long + "share(widths=fc1*:9)")
        refused(["'fc1*' is no width"], long + "share(widths=fc1*)")
        refused(["percentile is 101, expected at most 100"], long + "int8(observer=percentile, percentile=101)")
        refused(["dampening must be positive"], long + "gptq(dampening=0)")
        refused(["'index_bits' would do nothing here; it counts with weights that were pruned"], "share|entropy(5)")
        refused(["group is '48', expected 32, 64, 128"], long + "quantize_aware(int4, group=48)")
        refused(["by is 'movement', expected magnitude, taylor, wanda"], "channels(0.5, by=movement)")
        refused(["schedule is 'iterativ'", "Did you mean 'iterative'?"], "prune(0.5, schedule=iterativ)")
        refused(["nothere.safetensors"], long + "distill(teacher=nothere.safetensors)")
        refused(["follows on nothing of 10"], long + "distill(teacher=" + str(write_safetensors(self.folder / "other.safetensors", {"a.weight": (10, 64), "b.weight": (5, 9)})) + ")")
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
        newer = re.sub(rb'("pleat\.format": *")1"', rb'\g<1>9"', compressed.read_bytes())
        assert newer != compressed.read_bytes()
        bad.write_bytes(newer)
        refused(["the weights are stored by version 9 of pleat's rules", "Take a newer pleat"], "fine_tune", bad)
        bad.write_bytes(good.replace(b"fc2.weight", b"fc2.wisdom"))
        refused(["fc2.wisdom", "is no weight of a layer that is known here"], "int8", bad)


if __name__ == "__main__":
    main(Shrink)
