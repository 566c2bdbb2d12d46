#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs train_gpt and sample as a user would and looks at what they leave.

    check.py learns|same_bits|meshes|precisions|kill_and_resume|samples|traces|cuts|remarks|bad_input|stopped_rank|shakespeare TRAIN_GPT SAMPLE FOLDER "LAUNCHER OPTIONS -n"
"""
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import SKIPPED, Check, main

# Small enough for a second, large enough that a pipeline has something to cut: units are the embedding, blocks, the last norm, the output.
SMALL = ("--layers", 3, "--width", 24, "--heads", 3, "--context", 16, "--threads", 1)


def rhyme(lines):
    """A text with an order that is quickly learned: every line counts through the same words."""
    words = "one two three four five six seven eight nine ten".split()
    return "".join(" ".join(words[(i + k) % len(words)] for k in range(5)) + ".\n" for i in range(lines))


def widened(file):
    """A safetensors file whose tensors of 16 bits have become floats, bit for bit the same numbers."""
    begin = 8 + struct.unpack("<Q", file[:8])[0]
    header, data = json.loads(file[8:begin]), b""
    assert {t["dtype"] for name, t in header.items() if name != "__metadata__"} <= {"BF16", "F16"}
    for t in sorted((t for name, t in header.items() if name != "__metadata__"), key=lambda t: t["data_offsets"]):
        first, last = (begin + o for o in t["data_offsets"])
        n = (last - first) // 2
        if t["dtype"] == "BF16":  # the upper half of a float
            wide = b"".join(b"\0\0" + file[i:i + 2] for i in range(first, last, 2))
        else:
            wide = struct.pack(f"<{n}f", *struct.unpack(f"<{n}e", file[first:last]))
        t["dtype"], t["data_offsets"] = "F32", [len(data), len(data) + len(wide)]
        data += wide
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


class LanguageModel(Check):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.text = self.folder / "rhyme.txt"
        self.text.write_text(rhyme(120))

    def write(self, *arguments, **how):
        """What sample said."""
        return self.run(*arguments, program=self.programs[1], **how)

    def figures(self, *arguments, ranks=1):
        """Trains the small model and gives the JSON."""
        out = self.folder / "figures.json"
        out.unlink(missing_ok=True)
        self.run("--data", self.text, *SMALL, "--quiet", "--json", out, *arguments, ranks=ranks)
        return json.loads(out.read_text())

    # --- it learns ---------------------------------------------------------------------------------------------------------------
    def learns(self):
        said = self.run("--data", self.text, *SMALL, "--batch", 8, "--steps", 150, "--learning-rate", 1e-2, "--warm-up", 10, "--validate-steps", 50,
                        "--json", self.folder / "f.json")
        f = json.loads((self.folder / "f.json").read_text())
        assert len(f["loss"]) == 150 and [v["step"] for v in f["validations"]] == [50, 100, 150], f
        guess = math.log(len(set(self.text.read_text())))
        assert abs(f["loss"][0] - guess) < 0.5, "an untrained model should know nothing"
        # Only where a line begins, and with which word, is left to guess.
        assert f["validation_loss"] < 0.5 * guess and f["validation_loss"] == f["validations"][-1]["loss"], f
        assert f["milliseconds_per_step"] > 0 and len(f["peak_bytes"]) == 1 and f["peak_bytes"][0] > 8 * f["parameters"], f
        assert f["plan"]["global_batch"] == "8" and f["plan"]["mesh.pipeline"] == "1", f["plan"]
        assert "step 150/150" in said and "validation loss" in said, said

    # --- the same bits wherever data and layers are ------------------------------------------------------------------------------
    def same_bits(self):
        # 7 windows: no number of ranks or micro-batches divides them
        plain = ("--deterministic", "--batch", 7, "--steps", 3, "--warm-up", 2, "--validation-windows", 5)
        numbers = lambda f: (f["loss"], f["validation_loss"])
        reference = self.figures(*plain)
        assert numbers(reference) != numbers(self.figures(*plain, "--seed", 2)), "another seed gave the same numbers"
        variants = [(n, ("--micro-batches", m)) for n, m in ((1, 3), (2, 1), (3, 2), (4, 1))]
        variants += [(2, ("--mesh", "pipeline=2", "--schedule", s, "--micro-batches", m)) for s, m in (("gpipe", 2), ("interleaved", 4), ("zb-v", 3))]
        variants += [(3, ("--mesh", "pipeline=3", "--schedule", "zb-h1", "--micro-batches", 4)),
                     (4, ("--mesh", "data=2,pipeline=2", "--schedule", "1f1b", "--micro-batches", 3)),
                     (4, ("--mesh", "data=2,pipeline=2", "--micro-batches", 2, "--state-stage", 1, "--recompute", "full")),
                     (4, ("--mesh", "data=2,pipeline=2,order=data.pipeline", "--micro-batches", 3)),
                     (4, ("--mesh", "node=2,data=2", "--data-axes", "node", "--state-stage", 3, "--state-ranks", 2)),
                     (3, ("--state-stage", 2)), (2, ("--state-stage", 3, "--micro-batches", 2)), (4, ("--state-stage", 2, "--state-ranks", 2, "--micro-batches", 2)),
                     (4, ("--state-stage", 3, "--state-ranks", 2, "--state-stride", 2)),
                     (2, ("--recompute", "selected", "--micro-batches", 2)), (2, ("--recompute", "1:full,2:selected", "--micro-batches", 2)),
                     (2, ("--mesh", "pipeline=2", "--schedule", "zb-h1", "--micro-batches", 2, "--recompute", "selected,1:full"))]
        for n, more in variants:
            f = self.figures(*plain, *more, "--thread-ranks", n)
            assert numbers(f) == numbers(reference), f"{n} ranks as threads, {more}: {numbers(f)} and not {numbers(reference)}"
            assert len(f["peak_bytes"]) == n and min(f["peak_bytes"]) > 0
        for n, more in ((3, ()), (4, ("--mesh", "data=2,pipeline=2", "--micro-batches", 2))) if self.has_launcher() else ():
            assert numbers(self.figures(*plain, *more, ranks=n)) == numbers(reference), f"{n} MPI ranks, {more}"
        # more data ranks than lanes: the user says how many lanes, and has the bits of as many on one rank. 20 windows, so that 8 lanes are not 16
        plain16 = (*plain, "--batch", 20, "--steps", 2, "--lanes", 16)
        sixteen = numbers(self.figures(*plain16))
        f = self.figures(*plain16, "--thread-ranks", 9, "--micro-batches", 2)
        assert numbers(f) == sixteen and f["plan"]["lanes"] == "16" and f["plan"]["mesh.data"] == "9", f
        assert sixteen != numbers(self.figures(*plain16, "--lanes", 8)), "16 lanes gave the bits of 8"
        # without the mode another summation order shows, or this test could not fail
        loose = [self.figures(*plain[1:], "--thread-ranks", n)["loss"] for n in (1, 3)]
        assert loose[0] != loose[1], "sums in another order gave the same bits: are they compared?"
        assert all(abs(a - b) < 1e-4 for a, b in zip(*loose)), loose

    # --- the same answers where sums are cut -------------------------------------------------------------------------------------
    def meshes(self):
        plain = ("--batch", 7, "--steps", 3, "--warm-up", 2, "--validation-windows", 5)
        alone = self.figures(*plain)
        axes = lambda d, t, p: f"data={d},tensor={t},pipeline={p}"
        meshes = [((1, 2, 1), ()), ((1, 3, 1), ("--recompute", "full")), ((2, 2, 1), ("--state-stage", 3)), ((1, 2, 2), ("--schedule", "zb-v", "--micro-batches", 3)),
                  ((2, 2, 2), ("--micro-batches", 2, "--state-stage", 2))]
        for mesh, more in meshes:
            n = math.prod(mesh)
            f = self.figures(*plain, "--mesh", axes(*mesh), *more, "--thread-ranks", n)
            # Losses are near 3 and rounded to 24 bits; sums of at most 16 x 7 terms in another order move them by a few units in the last
            # place, and the gradients, through three steps of AdamW at a rate of 1e-3, by less than a thousandth of a step.
            for a, b in zip(f["loss"] + [f["validation_loss"]], alone["loss"] + [alone["validation_loss"]]):
                assert abs(a - b) < 1e-5, f"{mesh}, {more}: {f['loss']} and not {alone['loss']}"
            assert f["parameters"] == alone["parameters"] and max(f["peak_bytes"]) < 0.8 * alone["peak_bytes"][0], (mesh, f["peak_bytes"], alone["peak_bytes"])
        # who lies where changes no bit
        pair = [self.figures(*plain, "--state-stage", 3, "--mesh", m, "--thread-ranks", 4) for m in ("data=2,tensor=2", "tensor=2,data=2")]
        assert [f["plan"]["mesh.order"] for f in pair] == ["pipeline.data.tensor", "pipeline.tensor.data"], pair[1]["plan"]
        assert pair[0]["loss"] == pair[1]["loss"] and pair[0]["validation_loss"] == pair[1]["validation_loss"], pair
        # gradients in 16 bits: each rank's is off by 2^-9 of itself. AdamW divides it by its size, so what changes the loss is at most the rate times the
        # sum of the gradient's errors, which is 2^-9 times the square root of the parameters for a gradient of norm 1; a factor of 8 for ranks whose
        # gradients are larger than their sum, which is clipped to 1
        for n, more in ((2, ()), (4, ("--mesh", axes(2, 2, 1))), (4, ("--mesh", axes(2, 1, 2), "--micro-batches", 2, "--state-stage", 2))):
            f = self.figures(*plain, "--wire", "bf16", *more, "--thread-ranks", n)
            bound = 3 * 1e-3 * 8 * 2.0**-9 * math.sqrt(f["parameters"])
            assert abs(f["loss"][0] - alone["loss"][0]) < 1e-5 and f["plan"]["wire"] == "bf16", (more, f["loss"])
            off = [abs(a - b) for a, b in zip(f["loss"] + [f["validation_loss"]], alone["loss"] + [alone["validation_loss"]])]
            assert 0 < max(off[1:]) < bound, f"{more}: off by {off}, the bound is {bound}"
        # saved under one mesh, gone on with under another
        save = ("--checkpoint", self.folder / "c", "--resume")
        self.figures(*plain, *save, "--steps", 2, "--mesh", axes(2, 2, 1), "--state-stage", 2, "--thread-ranks", 4)
        f = self.figures(*plain, *save, "--mesh", axes(1, 3, 1), "--thread-ranks", 3)
        assert f["first_step"] == 2 and len(f["loss"]) == 1, f
        # the rate follows the number of steps that a run is told, 2 and then 3: what is compared with is told the same on one rank
        save = ("--checkpoint", self.folder / "c1", "--resume")
        self.figures(*plain, *save, "--steps", 2)
        one = self.figures(*plain, *save)
        assert one["first_step"] == 2 and abs(f["loss"][0] - one["loss"][0]) < 1e-5, (f["loss"], one["loss"])
        # a model file has the same bytes from every mesh: no step is made, or steps whose bits no cut changes
        files = []
        for steps, mesh, more in ((0, (1, 1, 1), ()), (0, (1, 3, 1), ()), (0, (2, 2, 2), ("--state-stage", 3)), (2, (1, 1, 1), ()), (2, (2, 1, 2), ("--micro-batches", 2))):
            out = self.folder / f"{len(files)}.safetensors"
            self.run("--data", self.text, *SMALL, *plain, *(("--deterministic",) if steps else ()), "--steps", steps, "--quiet", "--out", out, "--mesh", axes(*mesh), *more, "--thread-ranks", math.prod(mesh))
            files.append(out.read_bytes())
        assert files[0] == files[1] == files[2] != files[3] == files[4]
        if self.has_launcher():
            f = self.figures(*plain, "--mesh", axes(1, 2, 1), ranks=2)
            assert abs(f["validation_loss"] - alone["validation_loss"]) < 1e-5

    # --- sixteen bits ------------------------------------------------------------------------------------------------------------
    def precisions(self):
        learn = ("--batch", 8, "--steps", 150, "--learning-rate", 1e-2, "--warm-up", 10, "--validation-windows", 5)
        wide = self.figures(*learn)
        for p, bits in (("bf16", 8), ("f16", 11)):
            checkpoint, file = self.folder / p, self.folder / f"{p}.safetensors"
            f = self.figures(*learn, "--precision", p, "--checkpoint", checkpoint, "--out", file)
            assert f["plan"]["precision"] == p
            # what is written with it: the checkpoint's text is the file's, and that of a file of the same numbers as floats
            floats = self.folder / f"{p}.f32.safetensors"
            floats.write_bytes(widened(file.read_bytes()))
            for wish in (("--tokens", 40, "--temperature", 0, "--prompt", "three four "), ("--tokens", 60, "--seed", 3)):
                text = self.write(checkpoint, *wish)
                assert text == self.write(file, *wish) == self.write(floats, *wish) == self.write(file, *wish, "--mesh", "pipeline=2", "--thread-ranks", 2), (p, text)
                assert set(text) <= set(self.text.read_text()), (p, text)
            # a fresh network knows nothing in any precision: scores near zero, each off by a few roundings
            assert abs(f["loss"][0] - wide["loss"][0]) < 4 * 2.0**-bits, (f["loss"][0], wide["loss"][0])
            assert f["validation_loss"] < 0.6 * f["loss"][0], f["validation_loss"]
            assert f["peak_bytes"][0] < wide["peak_bytes"][0], (f["peak_bytes"], wide["peak_bytes"])
            assert p == "f16" or f["loss_scale"] == 1 and f["skipped_steps"] == []
            # the same bits wherever data and layers are
            plain = ("--deterministic", "--batch", 7, "--steps", 3, "--warm-up", 2, "--validation-windows", 5, "--precision", p)
            numbers = lambda f: (f["loss"], f["validation_loss"], f["loss_scale"])
            reference = numbers(self.figures(*plain))
            for n, more in ((3, ("--state-stage", 3)), (2, ("--mesh", "pipeline=2", "--schedule", "zb-h1", "--micro-batches", 2)), (4, ("--mesh", "data=2,pipeline=2", "--micro-batches", 2))):
                assert numbers(self.figures(*plain, *more, "--thread-ranks", n)) == reference, (p, more)
            if self.has_launcher():
                assert numbers(self.figures(*plain, ranks=2)) == reference
        # a scale that overflows on the way: skipped, said once each, kept in the checkpoint and gone on with
        c = self.folder / "half"
        plain = ("--deterministic", "--batch", 7, "--warm-up", 2, "--validation-windows", 5, "--precision", "f16", "--loss-scale", 2**24, "--thread-ranks", 2)
        out = self.folder / "figures.json"
        said = self.run("--data", self.text, *SMALL, "--json", out, *plain, "--steps", 12)
        whole = json.loads(out.read_text())
        assert whole["skipped_steps"] and whole["loss_scale"] == 2.0**24 / 2 ** len(whole["skipped_steps"]), whole
        assert said.count("skipped: a gradient overflowed") == len(whole["skipped_steps"]), said
        assert f"the loss scale is now {whole['loss_scale']:g}" in said, said
        self.run("--data", self.text, *SMALL, "--quiet", *plain, "--steps", 1, "--checkpoint", c)
        f = self.figures(*plain[:-2], "--steps", 12, "--checkpoint", c, "--resume", "--thread-ranks", 3)
        assert f["first_step"] == 1 and f["loss_scale"] == whole["loss_scale"] and f["skipped_steps"] == whole["skipped_steps"][1:], (f, whole)
        said = self.run("--data", self.text, *SMALL, "--quiet", "--batch", 7, "--steps", 12, "--checkpoint", c, "--resume", fails=True)
        assert "--precision f16, this run has f32. Use --precision f16" in said, said

    # --- kill -9, then on another mesh -------------------------------------------------------------------------------------------
    def kill_and_resume(self):
        """On a machine so busy that training ends before it can be killed all is done again with a longer training."""
        assert any(self.killed_and_resumed(steps) for steps in (120, 480, 1920)), "training ended before it could be killed"

    def killed_and_resumed(self, steps):
        """Whether it was killed at all. The bytes are those of a training that nobody killed."""
        plain = ["--data", self.text, *SMALL, "--deterministic", "--batch", 4, "--steps", steps, "--validation-windows", 3, "--quiet"]
        checkpoint = self.folder / f"checkpoint{steps}"
        newest = lambda: max((int(p.name.split("-")[1]) for p in checkpoint.glob("step-*[0-9]")), default=0)
        job = plain + ["--checkpoint", checkpoint, "--checkpoint-steps", 5, "--resume", "--json", self.folder / "f.json"]
        kills = 0
        meshes = (("--thread-ranks", 2, "--state-stage", 3), ("--thread-ranks", 2, "--mesh", "pipeline=2", "--schedule", "zb-h1", "--micro-batches", 2),
                  ("--thread-ranks", 4, "--mesh", "data=2,pipeline=2"), ())
        for mesh in meshes:
            child = subprocess.Popen(self.command(job + list(mesh)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            before = newest()
            while child.poll() is None and newest() <= before:  # kill it once it has saved something new; ctest's time-out is the limit
                time.sleep(0.001)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
            child.wait()
        if kills == 0:
            return False
        self.run(*plain, "--out", self.folder / "whole.safetensors")
        self.run(*job, "--thread-ranks", 3, "--state-stage", 1, "--out", self.folder / "resumed.safetensors")
        f = json.loads((self.folder / "f.json").read_text())
        assert 0 < f["first_step"] and len(f["loss"]) == steps - f["first_step"], f["first_step"]
        whole, resumed = ((self.folder / n).read_bytes() for n in ("whole.safetensors", "resumed.safetensors"))
        assert whole == resumed, "resume gave other bytes"
        return True

    # --- text from what was learned ----------------------------------------------------------------------------------------------
    def samples(self):
        checkpoint, file = self.folder / "checkpoint", self.folder / "model.safetensors"
        self.run("--data", self.text, *SMALL, "--batch", 8, "--steps", 250, "--learning-rate", 1e-2, "--warm-up", 10, "--validation-windows", 1, "--quiet",
                 "--checkpoint", checkpoint, "--out", file)
        wish = ("--tokens", 60, "--seed", 3, "--prompt", "one two ")
        text = self.write(checkpoint, *wish)
        assert text.startswith("one two ") and len(text) == 8 + 60 + 1, text
        assert set(text) <= set(self.text.read_text()), text
        assert text == self.write(checkpoint, *wish) == self.write(file, *wish), "the same seed, another text"
        assert text == self.write(file, *wish, "--threads", 2), "two threads, another text"
        for n, mesh in ((2, ()), (3, ("--mesh", "pipeline=3")), (2, ("--mesh", "tensor=2")), (4, ("--mesh", "tensor=2,pipeline=2"))):
            for source in (file, checkpoint):  # scores differ by units in the last place at the most where sums are cut: far below a draw's
                assert text == self.write(source, *wish, *mesh, "--threads", 1, "--thread-ranks", n), f"{mesh}: another text"
        if self.has_launcher():
            assert text == self.write(file, *wish, "--mesh", "tensor=2,pipeline=1", ranks=2), "MPI ranks write another text"
        said = self.write(file, "--mesh", "data=2", "--thread-ranks", 2, fails=True)
        assert "--mesh data=1,tensor=1,pipeline=2" in said, said
        assert text != self.write(file, *wish[:3], 4, *wish[4:], "--temperature", 3), "another seed and a high temperature, the same text"
        sure = self.write(file, "--tokens", 20, "--temperature", 0, "--prompt", "three four ")
        assert sure == self.write(file, "--tokens", 20, "--top-k", 1, "--prompt", "three four "), "the likeliest of one is the likeliest"
        assert sure.startswith("three four five six"), f"it has not learned to count: {sure}"
        assert len(self.write(file, "--tokens", 5)) == 6
        for words, arguments in ((["byte 35", "none of the"], (file, "--prompt", "#")), (["no such"], (self.folder / "nowhere",)), (["no checkpoint"], (self.folder,)),
                                 (["--temperature"], (file, "--temperature", -1)), (["'nan' is not a number of 0 or more"], (file, "--temperature", "nan"))):
            said = self.write(*arguments, fails=True)
            assert all(w.lower() in said.lower() for w in words), said
        cut = self.folder / "cut.safetensors"
        cut.write_bytes(file.read_bytes()[:-5])
        assert "cut.safetensors" in self.write(cut, fails=True)
        card = checkpoint / "model"
        good = card.read_text()
        for bad in (good[:-9], good.replace("gpt 1", "gpt 2"), good.replace("heads = 3", "heads = 5"), good.replace("layers = 3", "layers = 4"), good.replace("characters = ", "characters = zz")):
            assert bad != good
            card.write_text(bad)
            said = self.write(checkpoint, fails=True)
            assert said.startswith("pleat: ") and said.count("\n") == 1, said

    # --- stages cut by what was measured -----------------------------------------------------------------------------------------
    def cuts(self):
        plain = ("--deterministic", "--batch", 4, "--validation-windows", 1, "--steps", 2, "--micro-batches", 2)
        alone = self.figures(*plain)
        layouts = [("pipeline=3", 3, False, ()), ("data=2,pipeline=2", 4, False, ("--recompute", "full"))] + ([("pipeline=2", 2, True, ("--schedule", "zb-v"))] if self.has_launcher() else [])
        for mesh, n, mpi, more in layouts:
            where = () if mpi else ("--thread-ranks", n)
            f = self.figures(*plain, "--mesh", mesh, *more, "--cuts", "measured", *where, ranks=n if mpi else 1)
            # wherever the times cut: every unit once, in order, and the same bits
            units = [int(u) for s in f["stages"].split("; ") for u in s.split(": ")[1].replace("no unit", "").replace("units", "").replace("unit", "").split("to")[:1] if u.strip()]
            assert units == sorted(set(units)) and units[0] == 0, f["stages"]
            assert (f["loss"], f["validation_loss"]) == (alone["loss"], alone["validation_loss"]), f["stages"]
        said = self.run("--data", self.text, *SMALL, *plain, "--cuts", "guessed", fails=True)
        assert "--cuts" in said and "measured" in said, said

    # --- a step of all ranks, to look at ------------------------------------------------------------------------------------------
    def traces(self):
        out = self.folder / "trace.json"
        plain = ("--batch", 8, "--validation-windows", 1, "--steps", 3, "--micro-batches", 2)

        def traced(*arguments, ranks=1):
            """By rank: (row's kind, name, category) of every span."""
            out.unlink(missing_ok=True)
            self.figures(*plain, "--trace", out, *arguments, ranks=ranks)
            events = json.loads(out.read_text())["traceEvents"]
            rows = {(e["pid"], e["tid"]): e["args"]["name"].split()[0] for e in events if e["name"] == "thread_name"}
            spans = {}
            for e in events:
                if e["ph"] == "X":
                    assert e["dur"] >= 0
                    spans.setdefault(e["pid"], []).append((rows[e["pid"], e["tid"]], e["name"], e["cat"], e["ts"], e["ts"] + e["dur"]))
            return spans

        layouts = [(1, ()), (2, ()), (2, ("--state-stage", 3)), (2, ("--mesh", "tensor=2")), (2, ("--mesh", "pipeline=2", "--schedule", "zb-h1")), (4, ("--mesh", "data=2,pipeline=2"))]
        for mpi, (n, more) in [(False, l) for l in layouts] + ([(True, layouts[-1])] if self.has_launcher() else []):
            spans = traced(*more, ranks=n) if mpi else traced(*more, "--thread-ranks", n)
            assert sorted(spans) == list(range(n)), f"{more}: spans of ranks {sorted(spans)}"
            for rank, mine in spans.items():
                where = f"{more}, rank {rank}"
                named = lambda row, begins: [s for s in mine if s[0] == row and s[1].startswith(begins)]
                assert {s[1] for s in named("work", "forward")} == {"forward 0", "forward 1"}, where
                assert len(named("work", "backward")) == 2 * (2 if "zb-h1" in more else 1) and len(named("work", "optimizer")) == 1, where
                assert (n > 1) == any(s[2] == "waiting" for s in mine), where
                sent = [s[1] for s in named("gradients", "gradients")]
                together = n > 1 and (not more or "data=2,pipeline=2" in more)
                assert bool(sent) == (together or "--state-stage" in more) and (not together or len(sent) == len(set(sent))), (where, sent)
                assert bool(named("parameters", "")) == ("--state-stage" in more), where
                assert bool(named("messages", "")) == any("pipeline=2" in str(m) for m in more), where
                sums = named("work", "all_reduce")
                assert bool(sums) == ("tensor=2" in more), where
                inside = [s for s in sums for f in named("work", "forward") if f[3] <= s[3] and s[4] <= f[4]]
                assert not sums or len(inside) >= 2 * 2 * 3, f"{where}: two sums forward for each block and micro-batch, found {len(inside)}"
        # the numbers are those of a run that nobody traces; a shorter run shows its last step
        assert self.figures(*plain, "--deterministic", "--trace", out)["loss"] == self.figures(*plain, "--deterministic")["loss"]
        assert any(s[1] == "optimizer" for s in traced("--steps", 1)[0])
        said = self.run("--data", self.text, *SMALL, *plain, "--steps", 0, "--trace", self.folder / "none.json")
        assert "no step is left to be traced" in said and not (self.folder / "none.json").exists(), said
        said = self.run("--data", self.text, *SMALL, *plain, "--quiet", "--trace", self.folder / "no" / "where.json", "--thread-ranks", 2, fails=True)
        assert said.startswith("pleat: ") and said.count("\n") == 1 and "where.json" in said, said

    # --- what is asked for and changes nothing is said ------------------------------------------------------------------------------
    def remarks(self):
        plain = ("--data", self.text, *SMALL, "--batch", 4, "--steps", 2, "--warm-up", 1, "--validation-windows", 1, "--micro-batches", 2)
        lines = lambda said: [l for l in said.splitlines() if l.startswith("--")]
        stages, replicas = "Use --mesh pipeline=2 or more, or leave it out", "Use --mesh data=2 or more, or leave it out"
        for arguments, why, instead, cure in (
                (("--state-stage", 3), "--state-stage 3 changes nothing: with data=1", replicas, ("--mesh", "data=2")), (("--wire", "bf16"), "--wire bf16 changes nothing: with data=1", replicas, ("--mesh", "data=2")),
                (("--schedule", "1f1b"), "--schedule 1f1b changes nothing: with pipeline=1", stages, ("--mesh", "pipeline=2")),
                (("--schedule", "interleaved", "--chunks", 3), "--chunks 3 changes nothing: with pipeline=1", stages, ("--mesh", "pipeline=2")),
                (("--cuts", "measured"), "--cuts measured changes nothing: with pipeline=1", stages, ("--mesh", "pipeline=2")),
                (("--warm-up", 3), "--learning-rate is not reached: --warm-up 3 is more than --steps 2", "Use --warm-up 0", ("--warm-up", 0)),
                (("--validation-windows", 1000), "--validation-windows 1000: the text has ", "All of them are used", ("--validation-windows", 0))):
            said = lines(self.run(*plain, *arguments))
            assert sum(l.startswith(why) and l.endswith(instead) for l in said) == 1 and len(said) == 1 + ("--chunks" in arguments), said
            assert not lines(self.run(*plain, *arguments, "--quiet"))
            where = ("--thread-ranks", 2) if "--mesh" in cure else ()
            assert not lines(self.run(*plain, *arguments, *cure, *where)), (arguments, cure)
        assert not lines(self.run(*plain))
        if self.has_launcher():
            assert len(lines(self.run(*plain, "--schedule", "zb-v", ranks=2))) == 1, "rank 0 speaks"

    # --- one sentence, a non-zero exit, no hang ----------------------------------------------------------------------------------
    def bad_input(self):
        def ways_out(said):
            """What the sentence tells to type instead, one list of arguments for each way."""
            mesh = re.search(r"(?:fits is|it once, as in) '([^']+)'", said)
            if mesh:
                return [("--mesh", mesh[1])]
            told = re.search(r"\b[Uu]se (--.*)", said)
            ways = [re.findall(r"(--[a-z0-9-]+) ([^\s,]+(?:,[a-z]+=\d+)*)", w) for w in re.split(r",? or ", told[1])] if told else []
            return [sum(w, ()) for w in ways if w]

        def refused(words, *arguments, ranks=1, then=()):
            """Refused with these words; and what the sentence tells to do works, or `then` where it names no options (None: nothing to do)."""
            plain = ("--data", self.text, *SMALL, "--steps", 1, "--quiet")
            said = self.run(*plain, *arguments, ranks=ranks, fails=True)
            for w in words:
                assert w in said, f"'{w}' is not in:\n{said}"
            assert sum(line.startswith("pleat:") for line in said.splitlines()) <= 1, f"more than one sentence:\n{said}"
            ways = [] if then is None else [then] if then else ways_out(said)
            assert then is None or ways, f"nothing that could be typed is in:\n{said}"
            for way in ways:
                self.run(*plain, *arguments, *way, ranks=ranks)

        four = ("--thread-ranks", 4)
        refused(["'data=1,pipeline=3' has 3 ranks, there are 4", "'data=1,pipeline=4'"], "--mesh", "pipeline=3", *four)
        refused(["'data=2' has 2 ranks, there are 1", "'data=1'"], "--mesh", "data=2")
        refused(["'data=3,pipeline=2' has 6 ranks", "'data=2,pipeline=2'"], "--mesh", "data=3,pipeline=2", *four)
        refused(["no axis 'pipe'", "pipeline=2"], "--mesh", "pipe=2", *four, then=("--mesh", "pipeline=2"))
        refused(["there is no axis 'foo'; there are data, tensor or pipeline"], "--mesh", "foo=2", then=("--mesh", "data=1"))
        refused(["there is no axis 'tensro'", "Use tensor=3"], "--mesh", "data=2,tensro=3", *four, then=("--mesh", "data=2,tensor=2"))
        refused(["'data' is named twice"], "--mesh", "data=2,data=2", *four, then=("--mesh", "data=4"))
        refused(["'data=two' has no extent", "Write it as 'data=2,tensor=2,pipeline=2'"], "--mesh", "data=two", *four, then=("--mesh", "data=2,tensor=2,pipeline=1"))
        refused(["1 of 2 axes are named", "Name each of data, pipeline once"], "--mesh", "data=2,pipeline=2,order=data", *four, then=("--mesh", "data=2,pipeline=2,order=data.pipeline"))
        refused(["no axis 'node'", "--data-axes node"], "--mesh", "node=2,data=2", *four, then=("--data-axes", "node"))
        refused(["--data-axes: there is no axis 'rack'"], "--mesh", "node=2,data=2", "--data-axes", "node,rack", *four, then=("--data-axes", "node"))
        refused(["width of 24", "5 heads", "nearest number of heads 4"], "--heads", 5, then=("--heads", 4))
        refused(["nearest width is 25"], "--heads", 5, then=("--width", 25))
        refused(["no schedule '1b1f'", "Use --schedule 1f1b\n"], "--schedule", "1b1f")
        refused(["one stage per rank, found --chunks 3", "Use --chunks 1, or --schedule interleaved\n"], "--chunks", 3)
        refused(["tensor=2 shares out the terms of a sum", "--mesh data=4,tensor=1,pipeline=1"], "--deterministic", "--mesh", "tensor=2", *four)
        refused(["--state-stage must be", "Use --state-stage 3\n"], "--state-stage", 4)
        refused(["--state-ranks must divide", "Use --state-ranks 2, or 0 for all of them"], "--state-stage", 1, "--state-ranks", 3, *four)
        refused(["--state-stage 0 shares nothing", "Use --state-stage 1"], "--state-ranks", 2, *four)
        refused(["--state-stride must divide the 2 copies", "found 3", "Use --state-stride 2"], "--state-stage", 1, "--state-ranks", 2, "--state-stride", 3, *four)
        refused(["--state-stride 2 leaves data ranks out", "Use --state-ranks 2, or --state-stride 1"], "--state-stage", 1, "--state-stride", 2, *four)
        refused(["--loss-scale is for --precision f16: bf16 has no loss scale"], "--loss-scale", 1024, "--precision", "bf16")
        refused(["no 'some'", "Use --recompute none"], "--recompute", "some")
        refused(["no 'ful'", "Use --recompute 0:full,1:selected"], "--recompute", "0:ful,1:selected")
        refused(["unit 1 is named twice", "as in '--recompute 0:full,1-3:selected'"], "--recompute", "0-2:full,1:none", then=("--recompute", "0-2:full"))
        refused(["names unit 99, but the network has"], "--recompute", "99:full", then=("--recompute", "1:full"))
        refused(["no 'f32x'", "Use --precision f32"], "--precision", "f32x")
        refused(["--wire bf16", "Use --wire same, or leave out --deterministic"], "--wire", "bf16", "--deterministic")
        refused(["--resume needs --checkpoint DIR"], "--resume", then=("--checkpoint", self.folder / "fresh"))
        refused(["--steps"], "--steps", "many", then=None)
        refused(["windows", "fewer than a batch", "Use --batch "], "--batch", 100000)
        refused(["Use --context ", " or less, or a longer text"], "--context", 4000)
        # the bits of more lanes are others: nobody takes them who did not ask
        refused(["tensor=3 shares out the terms of a sum", "--mesh data=3,tensor=1,pipeline=3"], "--deterministic", "--mesh", "data=3,tensor=3", "--thread-ranks", 9)
        refused(["8 lanes", "at most 8 data ranks, found data=9", "Use --lanes 16 (", "--mesh data=3,tensor=1,pipeline=3\n"], "--deterministic", "--thread-ranks", 9)
        refused(["found --lanes 12", "Use --lanes 16\n"], "--deterministic", "--lanes", 12)
        refused(["--lanes is for --deterministic"], "--lanes", 16, then=("--deterministic",))
        wide = ("--deterministic", "--checkpoint", self.folder / "wide", "--resume")
        self.run("--data", self.text, *SMALL, "--steps", 1, "--quiet", *wide, "--lanes", 16)
        refused(["saved with --lanes 16, this run has 8", "Use --lanes 16"], *wide, "--thread-ranks", 2)
        refused(["a global batch of 4, this run has 8", "Use --batch 4"], *wide, "--lanes", 16, "--batch", 8)
        self.run("--data", self.text, *SMALL, "--quiet", *wide, "--lanes", 16, "--steps", 2, "--thread-ranks", 9)
        said = self.run("--data", self.folder / "nowhere.txt", "--quiet", fails=True)
        assert "nowhere.txt" in said and said.startswith("pleat:"), said
        # what would be written last is tried first; no number is no number
        for option in ("--out", "--json", "--trace"):
            refused([f"cannot make a file in '{self.folder}/absent'", "Make the folder"], option, self.folder / "absent" / "f", "--steps", 1000000, then=None)
            refused(["this is a folder"], option, self.folder, "--steps", 1000000, then=None)
        for option in ("--clip", "--final-rate", "--learning-rate", "--weight-decay", "--beta2"):
            refused([option, "'nan' is not a number"], option, "nan", then=None)
        for option in ("--out", "--json", "--trace"):
            refused([option + ": ", "is the file that is read (--data)"], option, self.text, then=None)
        refused(["--json: ", "is the file of --out, too"], "--out", self.folder / "both", "--json", self.folder / "both", then=None)
        if os.path.exists("/dev/full"):
            refused(["/dev/full"], "--json", "/dev/full/f.json", then=None)
        # a folder of another model
        self.run("--data", self.text, *SMALL, "--steps", 1, "--quiet", "--checkpoint", self.folder / "c")
        refused(["holds a model of 3 layers", "this run asks for 2", "Use --layers 3, or another folder"], "--layers", 2, "--checkpoint", self.folder / "c", "--resume")
        refused(["Use --width 24 --heads 3, or another folder"], "--width", 32, "--heads", 4, "--checkpoint", self.folder / "c", "--resume")
        refused(["seed"], "--seed", 9, "--checkpoint", self.folder / "c", "--resume", then=("--seed", 1))
        # another text of the same characters
        other = self.folder / "other.txt"
        other.write_text(rhyme(121)[1:] + "o")
        said = self.run("--data", other, *SMALL, "--steps", 2, "--quiet", "--checkpoint", self.folder / "c", "--resume", fails=True)
        assert "while training on other data" in said and "Go on with the same data" in said, said
        # a folder that cannot be is found before the first step
        for bad in (self.text, self.text / "c"):
            said = self.run("--data", self.text, *SMALL, "--steps", 1, "--checkpoint", bad, fails=True)
            assert str(bad) in said and "step 1/1" not in said, said
        # a loss that is not finite names step, rank and layer
        for mesh in ((), ("--mesh", "pipeline=2", "--micro-batches", 2, "--thread-ranks", 2)):
            refused(["the loss of step ", " is ", "on rank ", "of layer '"], "--steps", 5, "--learning-rate", 1e30, "--warm-up", 0, "--clip", 0, *mesh, then=("--learning-rate", 1e-3))
        # every rank refuses alike, rank 0 speaks, nobody hangs
        if self.has_launcher():
            refused(["there are 3", "'data=1,pipeline=3'"], "--mesh", "pipeline=2", ranks=3)
            refused(["no schedule", "Use --schedule "], "--schedule", "hope", ranks=2)
            # ranks that were not told the same hear of it before the first step
            other = self.folder / "another.txt"
            other.write_text(rhyme(121))
            for option, values, words in (("--clip", (1, 2), "--clip 2 there, --clip 1 here"), ("--learning-rate", (0.001, 0.1), "--learning-rate 0.1 there"), ("--steps", (1, 2), "--steps 2 there"),
                                          ("--data", (self.text, other), "the text of rank 1 is not that of rank 0")):
                first, second = (self.command(["--data", self.text, *SMALL, "--steps", 1, "--quiet", option, v]) for v in values)
                done = subprocess.run(self.launcher + ["1", *first, ":", "-n", "1", *second], capture_output=True, text=True, timeout=200)
                assert done.returncode != 0 and words in done.stdout + done.stderr, done.stdout + done.stderr
        # strange, but legal: more ranks than windows, more micro-batches than windows, stages without a layer
        self.figures("--batch", 2, "--steps", 1, *four)
        self.figures("--batch", 2, "--steps", 1, "--mesh", "pipeline=2", "--micro-batches", 4, "--thread-ranks", 2)
        self.figures("--layers", 1, "--batch", 2, "--steps", 1, "--mesh", "pipeline=3", "--schedule", "interleaved", "--chunks", 3, "--micro-batches", 2, "--thread-ranks", 3)

    # --- a rank that hangs ---------------------------------------------------------------------------------------------------------
    def stopped_rank(self):
        self.demand_launcher()
        said = ""
        for patience in (2, 8, 32):  # a machine may be so busy that a rank that is well is given up first
            said = self.with_a_stopped_rank(patience)
            if re.search(rf"waited {patience} s[^\n]*(rank \d|ranks \d|every rank)", said):
                return
        assert False, said

    def with_a_stopped_rank(self, patience):
        checkpoint = self.folder / f"c{patience}"
        job = ["--data", self.text, *SMALL, "--batch", 4, "--steps", 1000000, "--quiet", "--checkpoint", checkpoint, "--checkpoint-steps", 5, "--timeout", patience]
        launcher = subprocess.Popen(self.command(job, 2), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ranks = []
        try:
            while launcher.poll() is None and not list(checkpoint.glob("step-*[0-9]")):  # ctest's time-out is the limit
                time.sleep(0.01)
            ranks = self.ranks_of(launcher)
            if len(ranks) == 2:
                os.kill(ranks[1], signal.SIGSTOP)
            said, _ = launcher.communicate(timeout=60 + 3 * patience)
            assert launcher.returncode != 0, said
            return said if len(ranks) == 2 else f"{len(ranks)} ranks were running\n" + said
        finally:
            for rank in ranks:
                try:
                    os.kill(rank, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            launcher.kill()

    # --- the real text -----------------------------------------------------------------------------------------------------------
    def shakespeare(self):
        root = os.environ.get("PLEAT_DATA_DIR")
        if not root:
            print("SKIPPED: PLEAT_DATA_DIR is not set: tiny-shakespeare was not read")
            sys.exit(SKIPPED)
        out = self.folder / "f.json"
        self.run("--data", Path(root) / "shakespeare" / "input.txt", "--layers", 2, "--width", 32, "--heads", 2, "--context", 32, "--batch", 8, "--steps", 200,
                 "--learning-rate", 3e-3, "--warm-up", 10, "--validation-windows", 40, "--quiet", "--json", out, "--thread-ranks", 2, "--mesh", "pipeline=2", "--micro-batches", 4, "--threads", 1)
        f = json.loads(out.read_text())
        # 65 characters: 4.17 for a guess, 3.3 for one that knows how often each occurs
        assert abs(f["loss"][0] - math.log(65)) < 0.3 and f["validation_loss"] < 3.0, f["validation_loss"]


if __name__ == "__main__":
    main(LanguageModel)
