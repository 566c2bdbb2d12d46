#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes examples/data/digits from the copy of the UCI digits that scikit-learn carries.

    python3 -m venv venv && venv/bin/pip install scikit-learn && venv/bin/python scripts/make_digits.py

Split: within every class, in the original order, each fifth sample goes to the test set. So both sets have all classes in equal parts.
"""
import pathlib
import struct
import sys

from sklearn.datasets import load_digits


def write_idx(path, shape, data):
    path.write_bytes(struct.pack(">BBBB", 0, 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + bytes(data))


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "examples/data/digits")
    root.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    images, labels = digits.images.astype("uint8"), digits.target.astype("uint8")
    assert images.shape == (1797, 8, 8) and images.max() == 16 and (images == digits.images).all()
    seen, train, test = [0] * 10, [], []
    for i, label in enumerate(labels):
        seen[label] += 1
        (test if seen[label] % 5 == 0 else train).append(i)
    for name, part in (("train", train), ("t10k", test)):
        write_idx(root / f"{name}-images-idx3-ubyte", (len(part), 8, 8), images[part].tobytes())
        write_idx(root / f"{name}-labels-idx1-ubyte", (len(part),), labels[part].tobytes())
    print(f"{len(train)} training and {len(test)} test images; training mean {images[train].mean():.4f}, deviation {images[train].std():.4f}")


if __name__ == "__main__":
    main()
