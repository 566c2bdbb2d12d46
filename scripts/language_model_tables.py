#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains the small language model over meshes and with several seeds, and writes the tables of docs/language_model.md.

    scripts/language_model_tables.py --data input.txt [--steps 1000] [--check]      --check: writes nothing

Exit code 1 unless every deterministic mesh has one rank's validation loss to the last digit, and every tensor mesh and the mean of PyTorch's
twin (bench/peers/text_pytorch.py; left out, and said so, where Python has no torch: PLEAT_PEER_PYTHON, else python3) agree within the spread over
seeds. About ten minutes of one processor.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build/release/bin/train_gpt"
MODEL = "--layers 3 --width 64 --heads 4 --context 64 --batch 8 --learning-rate 3e-3 --threads 1".split()
SAME_BITS = [(1, "data=1", "", 0, 1), (2, "pipeline=2", "zb-h1", 0, 4), (4, "data=2,pipeline=2", "1f1b", 1, 2), (3, "data=3", "", 0, 1),
             (2, "data=2", "", 2, 1), (2, "data=2", "", 3, 1)]  # ranks, mesh, schedule, state stage, micro-batches
TENSOR = [(2, "tensor=2", "", 0, 1), (4, "data=2,tensor=2", "", 3, 1), (4, "tensor=2,pipeline=2", "1f1b", 0, 4)]
SEEDS = (1, 2, 3)
PAGE = ROOT / "docs/language_model.md"


def train(o, seed, ranks=1, mesh="data=1", schedule="", stage=0, micro_batches=1, deterministic=False):
    """The figures that train_gpt writes."""
    with tempfile.TemporaryDirectory() as folder:
        figures = pathlib.Path(folder) / "figures.json"
        words = [str(PROGRAM), "--data", o.data, *MODEL, "--steps", str(o.steps), "--seed", str(seed), "--quiet", "--json", str(figures), "--mesh", mesh]
        words += ["--thread-ranks", str(ranks)] if ranks > 1 else []
        words += ["--schedule", schedule] if schedule else []
        words += ["--state-stage", str(stage)] if stage else []
        words += ["--micro-batches", str(micro_batches)] if micro_batches > 1 else []
        words += ["--deterministic"] if deterministic else []
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_PROC_BIND": "false"})
        if done.returncode:
            sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
        return json.loads(figures.read_text())


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rows]


def mesh_row(case, figures):
    ranks, mesh, schedule, stage, micro_batches = case
    said = f"{schedule}, {micro_batches} micro-batches" if schedule else ""
    return [str(ranks), mesh, said, str(stage), repr(figures["validation_loss"]), " · ".join(f"{b / 2**20:.1f}" for b in figures["peak_bytes"]) + " MiB"]


def twins(o):
    """PyTorch's validation losses by seed, or none."""
    python = os.environ.get("PLEAT_PEER_PYTHON", "python3")
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode:
        print(f"{python} has no torch: the twin is left out (set PLEAT_PEER_PYTHON)", file=sys.stderr)
        return []
    words = [python, str(ROOT / "bench/peers/text_pytorch.py"), "--data", o.data, "--steps", str(o.steps), "--seeds", *map(str, SEEDS)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line)["validation_loss"] for line in lines]


def filled(text, name, lines):
    begin, end = f"<!-- {name}: written by scripts/language_model_tables.py -->", "<!-- end -->"
    at = text.index(begin) + len(begin)
    return text[:at] + "\n" + "\n".join(lines) + "\n" + text[text.index(end, at):]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True)
    options.add_argument("--steps", type=int, default=1000)
    options.add_argument("--check", action="store_true")
    o = options.parse_args()
    if not PROGRAM.exists():
        sys.exit(f"there is no {PROGRAM}: cmake --preset release && cmake --build build/release --target train_gpt")
    head, wrong = ["ranks", "mesh", "schedule", "state stage", "validation loss", "peak bytes per rank"], []
    ours = {seed: train(o, seed)["validation_loss"] for seed in SEEDS}
    spread = max(ours.values()) - min(ours.values())
    deterministic = [(case, train(o, SEEDS[0], *case, deterministic=True)) for case in SAME_BITS]
    tensor = [(case, train(o, SEEDS[0], *case)) for case in TENSOR]
    first = deterministic[0][1]
    for case, figures in deterministic:
        if figures["validation_loss"] != first["validation_loss"] or figures["loss"] != first["loss"]:
            wrong.append(f"{case[1]}: validation loss {figures['validation_loss']!r} or a loss on the way differs from one rank's, {first['validation_loss']!r}")
    for case, figures in tensor:
        if abs(figures["validation_loss"] - first["validation_loss"]) > spread:
            wrong.append(f"{case[1]}: validation loss {figures['validation_loss']!r} is further from one rank's than seeds are from each other ({spread:.4f})")
    theirs = twins(o)
    rows = [[str(seed), f"{ours[seed]:.3f}"] + ([f"{theirs[i]:.3f}"] if theirs else []) for i, seed in enumerate(SEEDS)]
    if theirs:
        mean, other = statistics.mean(ours.values()), statistics.mean(theirs)
        rows.append(["mean", f"{mean:.3f}", f"{other:.3f}"])
        noise = max(spread, max(theirs) - min(theirs))
        if abs(mean - other) > noise:
            wrong.append(f"means of {mean:.4f} and PyTorch's {other:.4f} differ by more than seeds do ({noise:.4f})")
    tables = {"deterministic": table(head, [mesh_row(*d) for d in deterministic]), "tensor": table(head, [mesh_row(*t) for t in tensor]),
              "twin": table(["seed", "pleat", "PyTorch 2"] if theirs else ["seed", "pleat"], rows)}
    for lines in tables.values():
        print("\n".join(lines) + "\n")
    if not o.check and not wrong:
        text = PAGE.read_text(encoding="utf-8")
        for name, lines in tables.items():
            if name != "twin" or theirs:
                text = filled(text, name, lines)
        PAGE.write_text(text, encoding="utf-8")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
