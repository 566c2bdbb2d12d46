#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's time for the convolutions of bench/compute/convolution_bench.cpp, in Google Benchmark's JSON.

    python3 bench/peers/pytorch_conv.py [--threads 1] [--seconds 0.2] [--filter REGEX] [--out FILE]

Without PyTorch the list is empty and a line on stderr says so; PyTorch is never a dependency of the build.
"""
import peer_rows

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
PASSES = {"forward": None, "backward_input": [True, False, False], "backward_weight": [False, True, False]}


def name(what, shape, threads):
    n, c, h, w, o, k, s, p, g = shape
    extra = (f"/stride:{s}" if s != 1 else "") + (f"/padding:{p}" if p else "") + (f"/groups:{g}" if g != 1 else "")
    return f"peer/pytorch/conv2d/{what}/{c}x{o}x{k}x{k}@{h}{extra}/batch:{n}/threads:{threads}"


def call_of(torch, what, shape):
    """The call, and its floating point operations."""
    n, c, h, w, o, k, s, p, g = shape
    x, weight, bias = torch.randn(n, c, h, w), torch.randn(o, c // g, k, k) * 0.1, torch.zeros(o)
    y = torch.nn.functional.conv2d(x, weight, bias, s, p, 1, g)
    dy, flops = torch.randn_like(y), 2.0 * y.numel() * (c // g) * k * k
    if what == "forward":
        return lambda: torch.nn.functional.conv2d(x, weight, bias, s, p, 1, g), flops
    return lambda: torch.ops.aten.convolution_backward(dy, x, weight, [o], [s, s], [p, p], [1, 1], False, [0, 0], g, PASSES[what]), flops


def main():
    options = peer_rows.arguments(__doc__).parse_args()
    rows, context = [], {"executable": "pytorch_conv.py"}
    wanted = [(n, what, shape) for shape in SHAPES for what in PASSES if options.filter.search(n := name(what, shape, options.threads))]
    if wanted and (torch := peer_rows.torch_or_none()):
        torch.set_num_threads(options.threads)
        context["pytorch"] = torch.__version__
        context["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        with torch.no_grad():
            for n, what, shape in wanted:
                call, flops = call_of(torch, what, shape)
                runs, seconds, processor = peer_rows.fastest(call, options.seconds)
                rows.append(peer_rows.row(n, runs, seconds, processor, **{"GF/s": flops / seconds * 1e-9}))
    peer_rows.write(options.out, context, rows)


if __name__ == "__main__":
    main()
