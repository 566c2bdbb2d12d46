#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Sets the machine up, builds the main job and runs it on two ranks: trains, shrinks, saves; then a new process loads the small
# model and evaluates it. Results in build/quickstart. Further arguments go to the program (--data DIR for MNIST, ...).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
job=build/release/bin/train_shrink_run
out=build/quickstart

say "building $job"
mkdir -p "$out"
{ cmake --preset release && cmake --build --preset release --target train_shrink_run -j "${PLEAT_JOBS:-$(nproc)}"; } \
  >"$out/build.log" 2>&1 || {
  tail -n 30 "$out/build.log" >&2
  stop "the build failed; the whole of it is in $out/build.log"
}

launch=(mpirun)
if mpirun --version 2>&1 | grep -qE 'Open MPI|OpenRTE'; then launch+=(--oversubscribe --bind-to none); fi
# Open MPI refuses root unless it is told twice; in a container everybody is root. Only this script's own environment says so.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_PROC_BIND=false

begin=$SECONDS
say "${launch[*]} -n 2 $job --out $out $*"
"${launch[@]}" -n 2 "$job" --out "$out" "$@"
say "trained, shrunk and saved in $((SECONDS - begin)) s; now a new process evaluates the small model"
say "$job --evaluate $out/compressed.safetensors"
"$job" --evaluate "$out/compressed.safetensors" "$@"
say "results: $(cd "$out" && ls -1 -- *.safetensors report.* 2>/dev/null | tr '\n' ' ')in $out"
