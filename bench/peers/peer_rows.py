# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the peers' scripts share: their arguments, how a call is timed, and rows in Google Benchmark's JSON.

A peer's figure is its fastest call, as ours (bench/support/repeat.hpp): this machine may be shared. scripts/bench.sh looks for it
in each of its passes.
"""
import argparse
import json
import re
import sys
import time


def arguments(text):
    a = argparse.ArgumentParser(description=text.split("\n")[0])
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--seconds", type=float, default=0.2, help="for so long a call is repeated")
    a.add_argument("--filter", type=re.compile, default=".", help="a regular expression on the rows' names")
    a.add_argument("--out", default="-")
    return a


def fastest(call, seconds):
    """(calls, least seconds of one, least seconds of the processor of one)"""
    runs, least, least_processor, end = 0, 1e30, 1e30, time.perf_counter() + seconds
    while runs < 4 or time.perf_counter() < end:  # the first ones take memory, and choose kernels
        used, begin = time.process_time(), time.perf_counter()
        call()
        least, least_processor = min(least, time.perf_counter() - begin), min(least_processor, time.process_time() - used)
        runs += 1
    return runs, least, least_processor


def row(name, runs, seconds, processor, **counters):
    return {"name": name, "run_name": name, "run_type": "iteration", "iterations": runs, "real_time": seconds * 1e6, "cpu_time": processor * 1e6, "time_unit": "us", **counters}


def torch_or_none():
    try:
        import torch
        return torch
    except ImportError:
        print("PyTorch is not installed; nothing measured (pip install torch)", file=sys.stderr)


def write(out, context, rows):
    text = json.dumps({"context": context, "benchmarks": rows}, indent=1)
    if out == "-":
        print(text)
    else:
        with open(out, "w", encoding="utf-8") as file:
            file.write(text + "\n")
