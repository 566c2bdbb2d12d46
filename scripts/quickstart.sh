#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Sets the machine up, builds the main job and runs it on two ranks: trains, shrinks, saves; then a new process loads the small
# model and evaluates it. Results in build/quickstart, or where --out says. Further arguments go to the program (--data DIR for
# MNIST, ...); the evaluation takes those of them that are meant for it, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup.sh
job=build/release/bin/train_shrink_run
out=build/quickstart model=compressed train=() evaluate=()
while (($#)); do
  case $1 in
    --out=*) out=${1#--out=} ;;
    --out) out=${2-} && shift ;;
    --data | --threads | --timeout) train+=("$1" "${@:2:1}") evaluate+=("$1" "${@:2:1}") && shift ;;
    --data=* | --threads=* | --timeout=*) train+=("$1") evaluate+=("$1") ;;
    --train-only) train+=("$1") model=model ;;
    *) train+=("$1") ;;
  esac
  shift || break
done

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

[[ $out != build/quickstart ]] || rm -f "$out"/{model,compressed}.safetensors "$out"/report.{json,svg}  # of an earlier run
begin=$SECONDS
say "${launch[*]} -n 2 $job --out $out ${train[*]}"
"${launch[@]}" -n 2 "$job" --out "$out" "${train[@]}"
say "trained, shrunk and saved in $((SECONDS - begin)) s; now a new process evaluates the ${model/compressed/small} model"
say "$job --evaluate $out/$model.safetensors ${evaluate[*]}"
"$job" --evaluate "$out/$model.safetensors" "${evaluate[@]}"
say "results: $(cd "$out" && ls -1 -- *.safetensors report.* 2>/dev/null | tr '\n' ' ')in $out"
