#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# build/venv with what tests talk to, from PyPI: Conan 2, and the peers that read and write the same files (safetensors, gguf, onnx,
# onnxruntime), and the formatter. Never touches the system's Python; a missing index is said and is no failure here (the tests that want a package are
# then skipped, in words).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p build
pip() { build/venv/bin/pip install -q --no-cache-dir --disable-pip-version-check --retries 1 "$@" >>build/venv.log 2>&1; }
if [[ ! -x build/venv/bin/conan ]]; then
  if ! command -v python3 >/dev/null; then
    echo "pleat: no python3, so neither Conan nor the peers of our files: their tests are skipped" >&2
    exit 0
  fi
  echo "pleat: packages that tests talk to come from PyPI into build/venv; nothing outside build/ is changed" >&2
  if python3 -m venv build/venv >build/venv.log 2>&1 && pip "conan>=2.5,<3"; then
    echo "pleat: build/venv has $(build/venv/bin/conan --version)" >&2
  else
    echo "pleat: pip could not bring Conan ($(tail -n1 build/venv.log)); its test is skipped" >&2
  fi
fi
# One after the other: a machine that has no wheel of one still gets the rest. What could not be had is not asked for again.
[[ -x build/venv/bin/pip ]] || exit 0
for package in numpy safetensors gguf onnx onnxruntime clang-format==16.0.6; do
  [[ -e build/venv/peer-$package ]] && continue
  if pip "$package"; then
    echo "pleat: build/venv has $package" >&2
  else
    echo "pleat: pip could not bring $package ($(tail -n1 build/venv.log)); tests that want it are skipped" >&2
  fi
  touch "build/venv/peer-$package"
done
