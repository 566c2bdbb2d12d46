#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's time for the convolutions of bench/compute/convolution_bench.cpp, in Google Benchmark's JSON.

    python3 bench/peers/pytorch_conv.py [--threads 1] [--seconds 0.4] [--out FILE]

Each figure is the best of many short runs: this machine may be shared. Without PyTorch the list is empty and a line on
stderr says so; PyTorch is never a dependency of the build.
"""
import argparse
import json
import sys
import time

# batch, in, height, width, out, kernel, stride, padding, groups: the same list as in convolution_bench.cpp
SHAPES = [
    (32, 1, 28, 28, 20, 5, 1, 0, 1),
    (32, 20, 12, 12, 50, 5, 1, 0, 1),
    (32, 3, 32, 32, 16, 3, 1, 1, 1),
    (32, 16, 32, 32, 16, 3, 1, 1, 1),
    (32, 16, 32, 32, 32, 3, 1, 1, 1),
    (32, 16, 32, 32, 32, 3, 2, 1, 1),
    (32, 16, 32, 32, 32, 1, 2, 0, 1),
    (32, 32, 16, 16, 32, 3, 1, 1, 1),
    (32, 32, 16, 16, 64, 3, 2, 1, 1),
    (32, 32, 16, 16, 64, 1, 2, 0, 1),
    (32, 64, 8, 8, 64, 3, 1, 1, 1),
    (32, 32, 32, 32, 32, 3, 1, 1, 1),
    (32, 64, 32, 32, 64, 3, 1, 1, 1),
    (32, 64, 16, 16, 64, 1, 1, 0, 1),
    (32, 64, 16, 16, 64, 3, 1, 1, 64),
]


def name(what, shape, threads):
    n, c, h, w, o, k, s, p, g = shape
    extra = (f"/stride:{s}" if s != 1 else "") + (f"/padding:{p}" if p else "") + (f"/groups:{g}" if g != 1 else "")
    return f"peer/pytorch/conv2d/{what}/{c}x{o}x{k}x{k}@{h}{extra}/batch:{n}/threads:{threads}"


def best(call, seconds):
    for _ in range(3):
        call()
    least, runs, end = 1e30, 0, time.perf_counter() + seconds
    while time.perf_counter() < end or runs < 5:
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
        runs += 1
    return least, runs


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--seconds", type=float, default=0.4)
    options.add_argument("--out", default="-")
    options = options.parse_args()
    rows, context = [], {"executable": "pytorch_conv.py"}
    try:
        import torch
    except ImportError:
        print("pytorch_conv.py: PyTorch is not importable here; no peer figures", file=sys.stderr)
    else:
        torch.set_num_threads(options.threads)
        context["pytorch"] = torch.__version__
        context["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        for shape in SHAPES:
            n, c, h, w, o, k, s, p, g = shape
            x, weight, bias = torch.randn(n, c, h, w), torch.randn(o, c // g, k, k) * 0.1, torch.zeros(o)
            y = torch.nn.functional.conv2d(x, weight, bias, s, p, 1, g)
            dy = torch.randn_like(y)
            flops = 2.0 * y.numel() * (c // g) * k * k

            def gradient(mask):
                return torch.ops.aten.convolution_backward(dy, x, weight, [o], [s, s], [p, p], [1, 1], False, [0, 0], g, mask)

            calls = {
                "forward": lambda: torch.nn.functional.conv2d(x, weight, bias, s, p, 1, g),
                "backward_input": lambda: gradient([True, False, False]),
                "backward_weight": lambda: gradient([False, True, False]),
            }
            with torch.no_grad():
                for what, call in calls.items():
                    t, runs = best(call, options.seconds)
                    rows.append({"name": name(what, shape, options.threads), "run_type": "iteration", "iterations": runs,
                                 "real_time": t * 1e6, "cpu_time": t * 1e6, "time_unit": "us", "GF/s": flops / t * 1e-9})
    text = json.dumps({"context": context, "benchmarks": rows}, indent=1)
    if options.out == "-":
        print(text)
    else:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
