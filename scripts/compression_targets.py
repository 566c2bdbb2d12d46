#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What compression has set itself to reach on MNIST, run for real: the table of docs/compression.md.

    scripts/compression_targets.py [--data DIR] [--parts PART…] [--seeds 1 2 3 4 5] [--models M…] [--out FOLDER] [--json FILE] [--write]

DIR holds MNIST in IDX form (default: $PLEAT_DATA_DIR/mnist). The parts:

    deep_compression   both networks with every seed: error and bytes of the written files, run by new processes
    int8               the trained networks of deep_compression, their weights rounded to 8 bits: what is lost at most
    norms              the first seed's: GPTQ beside rounding, SparseGPT beside magnitudes, weight by weight
    train_shrink_run   trained; then a tenth of the weights in 8 bits
    distill            the 1200-1200 teacher and its 800-800 student
    recipes            a table of recipes on the first seed's networks, without bars

Exit code 1 where a figure misses its bar. What was not run is said to be; a mean over fewer than five seeds says over how many. FOLDER (default:
build/targets) keeps every run's figures, so a later call goes on from there; a program that was built since makes its runs stale. --write puts the
tables into docs/compression.md (bars of parts that were not run say so), docs/deep_compression.md and docs/recipes.md (where their part was run; of the former
with both networks and all seeds); a run with a miss writes nothing.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ("lenet-300-100", "lenet-5")
SEEDS = (1, 2, 3, 4, 5)
PARTS = ("deep_compression", "int8", "norms", "train_shrink_run", "distill", "recipes")
SMALLER = {"lenet-300-100": (57, 0.0164), "lenet-5": (56, 0.0080)}  # times at least, error at most: means over seeds
TRAINED = {"lenet-300-100": (0.017, 0.018), "lenet-5": (0.009, 0.010)}  # error at most: as trained, and at a tenth of the weights in 8 bits
ROUNDED = ("int8", "int8(activations=static)")
MOVED = ("gptq", "gptq(int8)", "sparse_gpt(0.5)", "sparse_gpt(0.8)")
TEACHER, STUDENT = 67, 74  # errors at most
RECIPES = ("int8", "gptq", "quantize_aware(int8)|int8", "low_rank(budget=0.3, samples=1)", "prune(0.9)|fine_tune(3)|csr", "prune(0.9)|fine_tune(3)|int8",
           "prune(0.9)|fine_tune(3)|share(num_bits=4)|entropy", "channels(0.5)|fine_tune(3)|int8")

Row = collections.namedtuple("Row", "what bar figure of holds")


class Runs:
    """Programs on the data, and what they wrote; a run whose figures are there already, and younger than the program, the data and the
    model that it began with, is not repeated."""

    def __init__(self, o):
        self.o, self.seconds = o, {}

    def figures(self, name, program, *arguments, folder="--out"):
        tool = self.o.bin / program
        if not tool.exists():
            sys.exit(f"there is no {tool}: cmake --preset release && cmake --build build/release --target {program}")
        out = self.o.out / name
        file = out.with_suffix(".json")
        made_from = [tool, self.o.data, *self.o.data.glob("*"), *(a for a in arguments[:1] if isinstance(a, pathlib.Path) and a.exists())]
        if not file.exists() or file.stat().st_mtime < max(p.stat().st_mtime for p in made_from):
            out.mkdir(parents=True, exist_ok=True)
            begun = out.with_suffix(".part.json")
            words = [str(tool), *map(str, arguments), "--data", str(self.o.data), "--threads", str(self.o.threads), "--quiet", "--json", str(begun)]
            words += [folder, str(out)] if folder else []
            start = time.time()
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, "OMP_PROC_BIND": "false"})
            if done.returncode:
                sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
            begun.rename(file)
            print(f"{name}: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
        return json.loads(file.read_text())

    def smaller(self, model, seed):
        return self.figures(f"{model}-{seed}", "deep_compression", "--model", model, "--seed", seed)

    def shrunk(self, model, seed, recipe):
        """A recipe on the network that deep_compression trained and left."""
        self.smaller(model, seed)
        at = self.o.out / f"{model}-{seed}"
        plain = "".join(c if c.isalnum() else "_" for c in recipe)
        return self.figures(f"{model}-{seed}-{plain}", "shrink", at / "model.safetensors", at / f"{plain}.safetensors", "--recipe", recipe, folder=None)


def percent(share):
    return f"{100 * share:.2f} %"


def over(seeds):
    return f"mean of {len(seeds)} seeds" if tuple(seeds) == SEEDS else f"mean of {len(seeds)} of {len(SEEDS)} seeds"


def at_least(what, bar, value, unit, of):
    return Row(what, f"≥ {bar}{unit}", f"{value:.1f}{unit}", of, value >= bar)


def at_most(what, bar, value, of, show=percent):
    return Row(what, f"≤ {show(bar)}", show(value), of, value <= bar)


def deep_compression(runs, o):
    for model in o.models:
        all_of_them = [runs.smaller(model, s) for s in o.seeds]
        for f in all_of_them:
            assert f["evaluation"]["process"] != f["process"], f"{model}: the error after is not a new process's"
        times, error = SMALLER[model]
        yield at_least(f"{model}: bytes of the file, times smaller", times, statistics.mean(f["ratio"] for f in all_of_them), "×", over(o.seeds))
        yield at_most(f"{model}: error of the file, run by a new process", error, statistics.mean(f["error_after"] for f in all_of_them), over(o.seeds))


def int8(runs, o):
    for model in o.models:
        for recipe in ROUNDED:
            lost = {}
            for seed in o.seeds:
                f = runs.shrunk(model, seed, recipe)
                lost[seed] = f["error_after"] - f["error_before"]
            worst = max(lost, key=lost.get)
            # Shares of 10 000 images: a difference is a whole number of them, whatever the doubles say.
            yield at_most(f"{model}: lost by `{recipe}`", 0.001, round(lost[worst], 4), f"worst of {len(lost)} seeds ({worst})", lambda x: f"{100 * x:.2f} points")


def norms(runs, o):
    for model in o.models:
        for recipe in MOVED:
            found = runs.shrunk(model, o.seeds[0], recipe)["norms"]
            for n in found:
                print(f"{model}, seed {o.seeds[0]}, {recipe}: {n['weight']}: {n['norm']:.6g}, the plain way {n['plain_norm']:.6g}")
            worst = max(found, key=lambda n: n["norm"] / n["plain_norm"])
            value = worst["norm"] / worst["plain_norm"]
            plain = "rounding's" if recipe.startswith("gptq") else "magnitudes'"
            yield Row(f"{model}: norm of `{recipe}` over {plain}", "< 1", f"{value:.3f}", f"`{worst['weight']}`, the worst of {len(found)}", value < 1)


def train_shrink_run(runs, o):
    for model in o.models:
        f = runs.figures(f"train-{model}", "train_shrink_run", "--model", model, "--seed", o.seeds[0])
        trained, small = TRAINED[model]
        yield at_most(f"{model}: error as trained", trained, f["stages"][0]["test_error"], f"seed {o.seeds[0]}")
        yield at_most(f"{model}: error at a tenth of the weights, in 8 bits", small, f["stages"][-1]["test_error"], f"seed {o.seeds[0]}")


def distill(runs, o):
    f = runs.figures("distill", "distill", "--seed", o.seeds[0])
    for who, bar in (("teacher", TEACHER), ("student", STUDENT)):
        yield at_most(f"distill: the {who}'s errors of {f['samples']}", bar, f[who]["errors"], f"seed {o.seeds[0]}", str)


def recipes(runs, o):
    """No bars: the runs that the table of docs/recipes.md is made of."""
    print("\n" + "\n".join(recipes_table(runs, o)) + "\n")
    return []


def recipes_table(runs, o):
    lines = []
    for recipe in RECIPES:
        line = [f"`{recipe}`".replace("|", "\\|")]
        for model in o.models:
            f = runs.shrunk(model, o.seeds[0], recipe)
            line += [percent(f["error_after"]), str(f["bytes_after"]), f"{f['ratio']:.1f}"]
        lines.append(line)
    whole = ["as trained"]
    for model in o.models:
        f = runs.shrunk(model, o.seeds[0], RECIPES[0])
        whole += [percent(f["error_before"]), str(f["bytes_before"]), "1.0"]
    return table(["recipe"] + [h for m in o.models for h in (f"{m}: error", "bytes", "times smaller")], [whole] + lines)


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rows]


def targets(rows, not_run=()):
    return table(["", "bar", "figure", "of", ""], [[r.what, r.bar, r.figure, r.of, "holds" if r.holds else "**missed**"] for r in rows]
                 + [[f"`{words}`", "", "", "", "not run this time"] for words in not_run])


def not_run(o):
    """The options that would bring the rest."""
    rest = [f"--parts {p}" for p in PARTS if p not in o.parts and p != "recipes"] + [f"--models {m}" for m in MODELS if m not in o.models]
    seeds = [str(s) for s in SEEDS if s not in o.seeds]
    return rest + (["--seeds " + " ".join(seeds)] if seeds else [])


def seeds_table(runs, o):
    lines = []
    for model in MODELS:
        each = [(s, runs.smaller(model, s)) for s in SEEDS]
        for s, f in each:
            lines.append([model, str(s), percent(f["error_before"]), percent(f["error_after"]), str(f["bytes_before"]), str(f["bytes_after"]), f"{f['ratio']:.1f}"])
        mean = {k: statistics.mean(f[k] for _, f in each) for k in ("error_before", "error_after", "bytes_before", "bytes_after", "ratio")}
        lines.append([f"**{model}**", f"mean of {len(SEEDS)}", percent(mean["error_before"]), f"**{percent(mean['error_after'])}**", f"{mean['bytes_before']:.0f}",
                      f"{mean['bytes_after']:.0f}", f"**{mean['ratio']:.1f}**"])
    return table(["network", "seed", "error before", "error after", "bytes before", "bytes after", "times smaller"], lines)


def stages_table(runs, o):
    """Of the first seed: its files lack the network's description, which the one that is kept carries."""
    lines = []
    for model in MODELS:
        stages = runs.smaller(model, SEEDS[0])["stages"]
        lines += [[model, s["name"], percent(s["test_error"]), str(s["nonzeros"]), str(s["bytes"]), f"{stages[0]['bytes'] / s['bytes']:.1f}"] for s in stages]
    return table(["network", "stage", "test error", "nonzeros", "bytes", "times smaller"], lines)


def layers_table(runs, o):
    lines = [[model, layer["name"].removesuffix(".weight"), str(layer["elements"]), percent(layer["kept"] / layer["elements"]), str(layer["num_bits"]),
              str(layer["bytes"]), f"{8 * layer['bytes'] / layer['kept']:.2f}"]
             for model in MODELS for layer in runs.smaller(model, SEEDS[0])["layers"]]
    return table(["network", "layer", "weights", "kept", "bits of a code", "bytes", "bits per survivor"], lines)


def filled(page, name, lines):
    begin, end = f"<!-- {name}: written by scripts/compression_targets.py -->", "<!-- end -->"
    text = page.read_text(encoding="utf-8")
    at = text.index(begin) + len(begin)
    page.write_text(text[:at] + "\n" + "\n".join(lines) + "\n" + text[text.index(end, at):], encoding="utf-8")


def options():
    root = os.environ.get("PLEAT_DATA_DIR")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=pathlib.Path, default=pathlib.Path(root) / "mnist" if root else None)
    p.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    p.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    p.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build/targets")
    p.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--json", type=pathlib.Path)
    p.add_argument("--write", action="store_true")
    o = p.parse_args()
    if o.write and (set(o.parts) != set(PARTS) or set(o.models) != set(MODELS)):
        sys.exit("--write fills whole tables: leave out --parts and --models (fewer --seeds are said in the tables)")
    if not o.data or not o.data.is_dir():
        sys.exit(f"no MNIST in {o.data}: say --data DIR, or set PLEAT_DATA_DIR to the folder that holds mnist/")
    return o


def main():
    o = options()
    runs, rows = Runs(o), []
    for part in o.parts:
        for row in globals()[part](runs, o):
            rows.append(row)
            print(f"{part}: {row.what}: {row.figure} ({row.bar}; {row.of}): {'holds' if row.holds else 'MISSED'}", flush=True)
    left_out = [p for p in PARTS if p not in o.parts]
    whole = not left_out and tuple(o.seeds) == SEEDS and tuple(o.models) == MODELS
    print("\n" + "\n".join(targets(rows)) + "\n")
    if not whole:
        print("NOT ALL OF IT WAS RUN: parts " + " ".join(o.parts) + "; seeds " + " ".join(map(str, o.seeds)) + "; " + " ".join(o.models))
    if o.json:
        o.json.write_text(json.dumps({"whole": whole, "seeds": list(o.seeds), "rows": [r._asdict() for r in rows]}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    missed = [r.what for r in rows if not r.holds]
    if o.write and not missed:
        filled(ROOT / "docs/compression.md", "targets", targets(rows, not_run(o)))
        if "deep_compression" in o.parts and tuple(o.models) == MODELS and tuple(o.seeds) == SEEDS:
            for name, lines in (("seeds", seeds_table), ("stages", stages_table), ("layers", layers_table)):
                filled(ROOT / "docs/deep_compression.md", name, lines(runs, o))
        if "recipes" in o.parts:
            filled(ROOT / "docs/recipes.md", "recipes", recipes_table(runs, o))
    if missed:
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
