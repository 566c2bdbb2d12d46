#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's forward of the layers of bench/nn/layers_bench.cpp, without gradients, and its pruning and rounding of the network of
bench/compress/transform_bench.cpp, in Google Benchmark's JSON. One thread.

    python3 bench/peers/pytorch_layers.py [--seconds 0.2] [--filter REGEX] [--out FILE]"""
import copy

import peer_rows


def attention(torch):
    def call(x):
        q, k, v = (z.view(4, 256, 6, 64).transpose(1, 2) for z in x.split(384, dim=2))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(4, 256, 384)
    return call


ROWS, IMAGES = (4, 256, 384), (32, 64, 32, 32)
LAYERS = {"linear/1024x384x1536": (lambda torch: torch.nn.Linear(384, 1536), ROWS),
          "linear_gelu/1024x384x1536": (lambda torch: torch.nn.Sequential(torch.nn.Linear(384, 1536), torch.nn.GELU()), ROWS),
          "layer_norm/1024x384": (lambda torch: torch.nn.LayerNorm(384), ROWS),
          "attention/4x256x6x64": (attention, (4, 256, 3 * 384)),
          "batch_norm/32x64x32x32": (lambda torch: torch.nn.BatchNorm2d(64).eval(), IMAGES),
          "max_pool2d/32x64x32x32": (lambda torch: torch.nn.MaxPool2d(2), IMAGES),
          "gelu/1572864": (lambda torch: torch.nn.GELU(), (4, 256, 1536))}


def prune_global(torch, net):
    from torch.nn.utils import prune
    prune.global_unstructured([(layer, "weight") for layer in net], pruning_method=prune.L1Unstructured, amount=0.9)


def prune_layer(torch, net):
    from torch.nn.utils import prune
    for layer in net:
        prune.l1_unstructured(layer, "weight", amount=0.9)


def quantize_int8(torch, net):
    for layer in net:
        w = layer.weight.detach()
        scales = w.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12) / 127
        (w / scales).round_().clamp_(-127, 127).to(torch.int8)


TRANSFORMS = {"prune_global": prune_global, "prune_layer": prune_layer, "quantize_int8": quantize_int8}


def main():
    options = peer_rows.arguments(__doc__).parse_args()
    rows, context = [], {"executable": "pytorch_layers.py"}

    def wanted(of, pattern):
        return {n: of[what] for what in of if options.filter.search(n := pattern.format(what))}
    layers, transforms = wanted(LAYERS, "peer/pytorch/layer/{}/threads:1"), wanted(TRANSFORMS, "peer/pytorch/transform/{}/mlp-1200/threads:1")
    if (layers or transforms) and (torch := peer_rows.torch_or_none()):
        torch.set_num_threads(1)
        torch.manual_seed(1)
        context["pytorch"] = torch.__version__
        with torch.inference_mode():
            for name, (make, shape) in layers.items():
                layer, x = make(torch), torch.rand(shape) - 0.5
                rows.append(peer_rows.row(name, *peer_rows.fastest(lambda: layer(x), options.seconds)))
        with torch.no_grad():
            net = torch.nn.Sequential(*(torch.nn.Linear(i, o) for i, o in ((784, 1200), (1200, 1200), (1200, 10))))  # ReLU has no weights
            for name, transform in transforms.items():
                runs, _, processor = peer_rows.fastest(lambda: transform(torch, copy.deepcopy(net)), options.seconds)
                rows.append(peer_rows.row(name, runs, processor, processor))  # processor time, as transform_bench.cpp's
    peer_rows.write(options.out, context, rows)


if __name__ == "__main__":
    main()
