#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's forward of the layers of bench/nn/layers_bench.cpp, without gradients, and its pruning and rounding of the network of
bench/compress/transform_bench.cpp, in Google Benchmark's JSON: the best of many runs.

    python3 bench/peers/pytorch_layers.py [--threads 1] [--seconds 1] [--out FILE]"""
import argparse
import json
import sys
import time


def layers(torch):
    nn, f = torch.nn, torch.nn.functional

    def attention(x):
        q, k, v = (z.view(4, 256, 6, 64).transpose(1, 2) for z in x.split(384, dim=2))
        return f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(4, 256, 384)

    rows = torch.rand(4, 256, 384) - 0.5
    images = torch.rand(32, 64, 32, 32) - 0.5
    return {"linear/1024x384x1536": (nn.Linear(384, 1536), rows),
            "linear_gelu/1024x384x1536": (nn.Sequential(nn.Linear(384, 1536), nn.GELU()), rows),
            "layer_norm/1024x384": (nn.LayerNorm(384), rows),
            "attention/4x256x6x64": (attention, torch.rand(4, 256, 3 * 384) - 0.5),
            "batch_norm/32x64x32x32": (nn.BatchNorm2d(64).eval(), images),
            "max_pool2d/32x64x32x32": (nn.MaxPool2d(2), images),
            "gelu/1572864": (nn.GELU(), torch.rand(4, 256, 1536) - 0.5)}


def transforms(torch):
    """What bench/compress/transform_bench.cpp does, to a copy of that network."""
    import copy
    from torch.nn.utils import prune
    nn = torch.nn
    net = nn.Sequential(nn.Linear(784, 1200), nn.ReLU(), nn.Linear(1200, 1200), nn.ReLU(), nn.Linear(1200, 10))

    def weights(of):
        return [layer for layer in of if isinstance(layer, nn.Linear)]

    def prune_global():
        small = copy.deepcopy(net)
        prune.global_unstructured([(w, "weight") for w in weights(small)], pruning_method=prune.L1Unstructured, amount=0.9)

    def prune_layer():
        for w in weights(copy.deepcopy(net)):
            prune.l1_unstructured(w, "weight", amount=0.9)

    def quantize_int8():
        for layer in weights(copy.deepcopy(net)):
            w = layer.weight.detach()
            scales = w.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12) / 127
            (w / scales).round_().clamp_(-127, 127).to(torch.int8)

    return {"prune_global": prune_global, "prune_layer": prune_layer, "quantize_int8": quantize_int8}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--seconds", type=float, default=1)
    options.add_argument("--out", default="-")
    options = options.parse_args()
    rows, context = [], {"executable": "pytorch_layers.py"}
    try:
        import torch
    except ImportError:
        print("pytorch_layers.py: PyTorch is not installed; nothing measured (pip install torch)", file=sys.stderr)
    else:
        torch.set_num_threads(options.threads)
        torch.manual_seed(1)
        context["pytorch"] = torch.__version__

        def row(name, once, clock=time.perf_counter):
            least, runs, end = 1e30, 0, time.perf_counter() + options.seconds
            while time.perf_counter() < end or runs < 5:
                start = clock()
                once()
                least, runs = min(least, clock() - start), runs + 1
            name = f"peer/pytorch/{name}/threads:1"
            rows.append({"name": name, "run_name": name, "run_type": "iteration", "iterations": runs, "real_time": least * 1e6, "cpu_time": least * 1e6, "time_unit": "us"})

        if options.threads == 1:
            with torch.inference_mode():
                for kind, (layer, x) in layers(torch).items():
                    row(f"layer/{kind}", lambda: layer(x))
            with torch.no_grad():
                for what, once in transforms(torch).items():
                    row(f"transform/{what}/mlp-1200", once, time.process_time)  # as transform_bench.cpp does
    text = json.dumps({"context": context, "benchmarks": rows}, indent=1)
    if options.out == "-":
        print(text)
    else:
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(text)


if __name__ == "__main__":
    main()
