#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's time for the training steps of bench/run/train_step_bench.cpp, in Google Benchmark's JSON.

    python3 bench/peers/pytorch_steps.py [--threads 1] [--seconds 2] [--filter mlp] [--out FILE]

A step is forward, cross entropy, backward, optimizer on data that lie in memory: the same work as ours. Each figure is the best of many
runs. Without PyTorch the list is empty and a line on stderr says so; PyTorch is never a dependency of the build.
"""
import argparse
import json
import sys
import time


def networks(nn):
    def mlp():
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))

    def lenet_5():
        return nn.Sequential(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))

    class Block(nn.Module):
        """He, Zhang, Ren, Sun 2016: two 3x3 convolutions with batch norm; a 1x1 convolution where the shape changes."""

        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
                                      nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
            self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.body(x) + self.shortcut(x))

    def resnet_20():
        stages = []
        for inputs, outputs, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
            stages += [Block(inputs, outputs, stride), Block(outputs, outputs, 1), Block(outputs, outputs, 1)]
        return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *stages,
                             nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))

    return {"mlp": (mlp, (1, 28, 28)), "lenet-5": (lenet_5, (1, 28, 28)), "resnet-20": (resnet_20, (3, 32, 32))}


CASES = [("mlp", 64, "sgd"), ("mlp", 256, "sgd"), ("mlp", 64, "adamw"), ("mlp", 256, "adamw"),
         ("lenet-5", 64, "sgd"), ("lenet-5", 256, "sgd"), ("resnet-20", 32, "sgd")]


def best(call, seconds):
    for _ in range(5):
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
    options.add_argument("--seconds", type=float, default=2)
    options.add_argument("--filter", default="")
    options.add_argument("--out", default="-")
    options = options.parse_args()
    rows, context = [], {"executable": "pytorch_steps.py"}
    try:
        import torch
        from torch import nn
    except ImportError:
        print("pytorch_steps.py: PyTorch is not installed; nothing measured (pip install torch)", file=sys.stderr)
    else:
        torch.set_num_threads(options.threads)
        torch.manual_seed(1)
        context["pytorch"] = torch.__version__
        for network, batch, optimizer in CASES:
            name = f"peer/pytorch/train_step/{network}/batch:{batch}/{optimizer}/threads:{options.threads}"
            if options.filter not in name:
                continue
            make, shape = networks(nn)[network]
            model = make().train()
            x, y = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
            loss = nn.CrossEntropyLoss()
            rule = (torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9) if optimizer == "sgd"
                    else torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True))

            def step():
                rule.zero_grad(set_to_none=True)
                loss(model(x), y).backward()
                rule.step()

            seconds, runs = best(step, options.seconds)
            rows.append({"name": name, "run_name": name, "run_type": "iteration", "iterations": runs, "real_time": seconds * 1e6,
                         "cpu_time": seconds * 1e6, "time_unit": "us"})
            print(f"{name}  {seconds * 1e6:.1f} us", file=sys.stderr)
    text = json.dumps({"context": context, "benchmarks": rows}, indent=1)
    if options.out == "-":
        print(text)
    else:
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(text)


if __name__ == "__main__":
    main()
