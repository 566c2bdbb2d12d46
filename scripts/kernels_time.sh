#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# What pleat::kernels costs and gains in a user's build: installs pleat into a folder of the build tree, compiles a program that
# trains, shrinks and saves (tests/consumer/project/train.cpp) with the headers alone and with pleat::kernels, and prints
# processor seconds of each, then looks whether both programs write the same bytes. Minutes; no compiler cache is asked.
#    scripts/kernels_time.sh [BUILD_TYPE, default Release]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
type=${1:-Release}
scratch=$PWD/build/kernels_time
rm -rf "$scratch"
mkdir -p "$scratch"
[[ -e build/release/CMakeCache.txt ]] || cmake --preset release >"$scratch/log"
cmake --install build/release --prefix "$scratch/prefix" >>"$scratch/log"
env -u CMAKE_CXX_COMPILER_LAUNCHER cmake -G Ninja -S tests/consumer/project -B "$scratch/user" -DCMAKE_BUILD_TYPE="$type" \
  -DCMAKE_PREFIX_PATH="$scratch/prefix" -DKokkos_DIR="$(sed -n 's/^Kokkos_DIR:[A-Z]*=//p' build/release/CMakeCache.txt)" \
  -DCMAKE_CXX_COMPILER="$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' build/release/CMakeCache.txt)" -DCOMPONENTS=kernels -DTRAIN=ON >>"$scratch/log"

TIMEFORMAT='%U %S %R'
build() {
  local took
  took=$({ time cmake --build "$scratch/user" --target "$1" --parallel "${PLEAT_JOBS:-$(nproc)}" >>"$scratch/log" 2>&1; } 2>&1) ||
    { tail -n 40 "$scratch/log"; exit 1; }
  awk -v what="$2" -v took="$took" 'BEGIN { split(took, t, " "); printf "%-60s %7.1f s of processor %7.1f s\n", what, t[1] + t[2], t[3] }'
}
echo "build type $type, $(nproc) cores"
build train_headers "the program, headers alone"
build pleat_kernels "pleat::kernels, once for all programs"
build train_kernels "the program that links pleat::kernels"
for program in headers kernels; do
  OMP_PROC_BIND=false OMP_NUM_THREADS=2 "$scratch/user/train_$program" examples/data/digits "$scratch/$program.safetensors" >>"$scratch/log" 2>&1 ||
    { tail -n 40 "$scratch/log"; exit 1; }
done
cmp "$scratch"/{headers,kernels}.safetensors || { echo "pleat: the two programs train different weights"; exit 1; }
echo "both programs write the same $(stat -c %s "$scratch/kernels.safetensors") bytes"
