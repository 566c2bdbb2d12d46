#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One run of the benchmarks from its parts: scripts/bench.sh calls it.

    scripts/bench_merge.py out.json part.json …      a part of a peer is called peer.*.json, one without AVX-512 *.isa:avx2.json

All are Google Benchmark's format. A row that several parts have, one of each pass, becomes the fastest of them: what disturbs only ever
makes slower. Of its counters those which compare (performance_page.FIGURES, PAIRED) become the medians of the passes: they were found by turns
within each pass, and the fastest pass is the one that was kind to our side of the quotient. Of those in PAIRED the least and the largest of the
passes are kept beside, as `…_least` and `…_most`. Where a counter has an interval of its own (`…_low`, `…_high`), it becomes the one from the
least low to the largest high.
"""
import json
import os
import re
import statistics
import sys

from performance_page import FIGURES, PAIRED, time_of


def best_of(runs):
    """One row from the runs of it. A run that failed is not passed over."""
    failed = next((r for r in runs if r.get("error_occurred") or r.get("skipped")), None)
    if failed:
        return failed
    row = {**min(runs, key=time_of), "repetitions": len(runs)}
    row.pop("repetition_index", None)
    for key in (FIGURES.keys() | PAIRED) & row.keys():
        row[key] = statistics.median(r[key] for r in runs if key in r)
    for key in FIGURES.keys() & row.keys():  # the widest of the passes' own intervals
        for end, of in (("low", min), ("high", max)):
            if f"{key}_{end}" in row:
                row[f"{key}_{end}"] = of(r[f"{key}_{end}"] for r in runs if f"{key}_{end}" in r)
    for key in PAIRED & row.keys():  # no pass is picked: how far apart they lie is part of the figure
        row[f"{key}_least"], row[f"{key}_most"] = (of(r[key] for r in runs if key in r) for of in (min, max))
    return row


def merged(parts):
    """One run from (name of the part's file, what is in it)."""
    context, peers, runs = {}, {}, {}
    for name, part in parts:
        said = dict(part.get("context", {}))
        if name.startswith("peer."):  # their versions, for the page
            peers.update({k: v for k, v in said.items() if k != "executable"})
        else:
            if "isa:avx2" in name:
                said.pop("isa", None)  # what the processor was told to leave unused
            context = {**said, **context}  # the first program's; and what only another one knows, such as its peer's version
        for row in part.get("benchmarks", []):
            if row.get("run_type") == "aggregate":
                continue
            if "isa:avx2" in name:
                row = {**row, **{key: row[key] + "/isa:avx2" for key in ("name", "run_name") if key in row}}
            runs.setdefault(row["name"], []).append(row)
    if peers:
        context["peers"] = peers
    return {"context": context, "benchmarks": [best_of(same) for same in runs.values()]}


def main():
    out, *files = sys.argv[1:]
    texts = ((os.path.basename(file), open(file, encoding="utf-8").read()) for file in files)
    run = merged((name, json.loads(text)) for name, text in texts if text.strip())
    for line in open("/proc/cpuinfo") if os.path.exists("/proc/cpuinfo") else ():
        if line.startswith("model name"):
            run["context"]["cpu_model"] = line.split(":", 1)[1].strip()
            break
    with open(out, "w", encoding="utf-8") as file:
        json.dump(run, file, indent=1)
    print(f"pleat: {len(run['benchmarks'])} rows in {out}")


if __name__ == "__main__":
    main()
