#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's time for the training steps of bench/run/train_step_bench.cpp, in Google Benchmark's JSON.

    python3 bench/peers/pytorch_steps.py [--threads 1] [--seconds 0.2] [--filter mlp] [--out FILE]

A step is forward, cross entropy, backward, optimizer on data that lie in memory: the same work as ours. Without PyTorch the list is empty and a line on stderr says so; PyTorch is never a dependency of the build.
"""
import resource

import peer_rows


def networks(torch):
    nn = torch.nn

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

    class Attention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads, self.qkv, self.project = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in self.qkv(x).split(c, dim=2))
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.project(y.transpose(1, 2).reshape(b, t, c))

    class TransformerBlock(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.norm1, self.attention, self.norm2 = nn.LayerNorm(width), Attention(width, heads), nn.LayerNorm(width)
            self.fc = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.fc(self.norm2(x))

    class GPT(nn.Module):
        """Pre-norm blocks, learned positions, the output layer tied to the embedding: examples/07_language_model/network.hpp."""

        def __init__(self, layers=6, width=384, heads=6, vocabulary=65, context=256):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Parameter(torch.randn(context, width) * 0.02)
            self.blocks = nn.Sequential(*[TransformerBlock(width, heads) for _ in range(layers)])
            self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
            nn.init.normal_(self.tokens.weight, std=0.02)
            self.output.weight = self.tokens.weight

        def forward(self, x):
            y = self.output(self.norm(self.blocks(self.tokens(x) + self.positions[:x.shape[1]])))
            return y.flatten(0, 1)

    return {"gpt-6x384": (GPT, (256,)), "mlp": (mlp, (1, 28, 28)), "lenet-5": (lenet_5, (1, 28, 28)), "resnet-20": (resnet_20, (3, 32, 32))}


CASES = [("gpt-6x384", 4, "adamw"),  # the first, whose peak memory is what the process has needed
         ("mlp", 64, "sgd"), ("mlp", 256, "sgd"), ("mlp", 64, "adamw"), ("mlp", 256, "adamw"),
         ("lenet-5", 64, "sgd"), ("lenet-5", 256, "sgd"), ("resnet-20", 32, "sgd")]


def step_of(torch, case):
    network, batch, optimizer = case
    make, shape = networks(torch)[network]
    model = make().train()
    if network.startswith("gpt"):
        x, y = torch.randint(0, 65, (batch, *shape)), torch.randint(0, 65, (batch * shape[0],))
    else:
        x, y = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
    loss = torch.nn.CrossEntropyLoss()
    rule = (torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9) if optimizer == "sgd"
            else torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True))

    def step():
        rule.zero_grad(set_to_none=True)
        loss(model(x), y).backward()
        rule.step()

    return step


def name_of(case, threads):
    return f"peer/pytorch/train_step/{case[0]}/batch:{case[1]}/{case[2]}/threads:{threads}"


def main():
    options = peer_rows.arguments(__doc__).parse_args()
    rows, context = [], {"executable": "pytorch_steps.py"}
    cases = [case for case in CASES if options.filter.search(name_of(case, options.threads))]
    if cases and (torch := peer_rows.torch_or_none()):
        torch.set_num_threads(options.threads)
        torch.manual_seed(1)
        context["pytorch"] = torch.__version__
        for case in cases:
            figures = peer_rows.fastest(step_of(torch, case), options.seconds)
            peak = {"peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024} if not rows else {}
            rows.append(peer_rows.row(name_of(case, options.threads), *figures, **peak))
    peer_rows.write(options.out, context, rows)


if __name__ == "__main__":
    main()
