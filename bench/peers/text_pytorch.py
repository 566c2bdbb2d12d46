#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trains the twin of examples/07_language_model in PyTorch: does the same small model learn as much?

    python3 bench/peers/text_pytorch.py --data input.txt --layers 3 --width 64 --heads 4 --context 64 --batch 8 --steps 1000 --seeds 1 2 3

The same network, initial distributions, optimizer, learning-rate curve, clipping and validation windows; the drawn numbers differ, so losses
agree within the spread over seeds only. One JSON line per seed: {"seed": 1, "loss": [...], "validation_loss": 1.9}. PyTorch is never a
dependency of the build.
"""
import argparse
import json
import math
import sys


def network(torch, vocabulary, o):
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(o.width), nn.LayerNorm(o.width)
            self.qkv, self.project = nn.Linear(o.width, 3 * o.width), nn.Linear(o.width, o.width)
            self.fc1, self.fc2 = nn.Linear(o.width, 4 * o.width), nn.Linear(4 * o.width, o.width)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (z.view(b, t, o.heads, c // o.heads).transpose(1, 2) for z in self.qkv(self.norm1(x)).split(c, dim=2))
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.project(y.transpose(1, 2).reshape(b, t, c))
            return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, o.width), nn.Embedding(o.context, o.width)
            self.blocks = nn.ModuleList(Block() for _ in range(o.layers))
            self.norm = nn.LayerNorm(o.width)
            for name, p in self.named_parameters():
                small = name.endswith(("project.weight", "fc2.weight"))
                if p.dim() > 1:
                    nn.init.normal_(p, 0, 0.02 / math.sqrt(2 * o.layers) if small else 0.02)
                elif name.endswith("bias"):
                    nn.init.zeros_(p)

        def forward(self, x):
            x = self.tokens(x) + self.positions.weight[: x.shape[1]]
            for block in self.blocks:
                x = block(x)
            return self.norm(x) @ self.tokens.weight.T

    return Gpt()


def train(torch, text, o, seed):
    torch.manual_seed(seed)
    characters = sorted(set(text))
    tokens = torch.tensor([characters.index(c) for c in text])
    border = int(0.9 * len(tokens))
    to_train, to_judge = tokens[:border], tokens[border:]
    model = network(torch, len(characters), o)
    matrices, vectors = [p for p in model.parameters() if p.dim() > 1], [p for p in model.parameters() if p.dim() == 1]
    rule = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=o.learning_rate, betas=(0.9, 0.99))

    def rate(step):
        if step < o.warm_up:
            return (step + 1) / o.warm_up
        t = min(1.0, (step - o.warm_up) / max(1, o.steps - 1 - o.warm_up))
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * t))

    losses = []
    order = torch.randperm(len(to_train) - o.context)
    for step in range(o.steps):
        first = order[step * o.batch % (len(order) - o.batch):][: o.batch]
        windows = torch.stack([to_train[i : i + o.context + 1] for i in first])
        for group in rule.param_groups:
            group["lr"] = o.learning_rate * rate(step)
        loss = torch.nn.functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        rule.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rule.step()
        losses.append(loss.item())
    count = (len(to_judge) - 1) // o.context
    if o.validation_windows:
        count = min(count, o.validation_windows)
    total = 0.0
    with torch.no_grad():
        for at in range(0, count, 32):
            windows = torch.stack([to_judge[i * o.context : (i + 1) * o.context + 1] for i in range(at, min(at + 32, count))])
            total += torch.nn.functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()).item() * len(windows)
    return losses, total / count


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--data", required=True)
    for name, default in (("layers", 3), ("width", 64), ("heads", 4), ("context", 64), ("batch", 8), ("steps", 1000), ("warm-up", 100), ("validation-windows", 0), ("threads", 1)):
        options.add_argument("--" + name, type=int, default=default)
    options.add_argument("--learning-rate", type=float, default=3e-3)
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = options.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("text_pytorch.py: PyTorch is not installed (pip install torch)")
    torch.set_num_threads(options.threads)
    with open(options.data, encoding="latin-1", newline="") as file:
        text = file.read()
    for seed in options.seeds:
        losses, validation = train(torch, text, options, seed)
        print(json.dumps({"seed": seed, "loss": losses, "validation_loss": validation}), flush=True)


if __name__ == "__main__":
    main()
