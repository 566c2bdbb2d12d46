#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Sets the machine up, builds everything and runs every test:  scripts/test.sh [preset] [ctest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=release
if [[ ${1:-} != "" && ${1:-} != -* ]]; then
  preset=$1
  shift
fi
jobs=${PLEAT_JOBS:-$(nproc)}
timed() {
  local begin=$SECONDS what=$1 code=0
  shift
  "$@" || code=$?
  parts+=("$what $((SECONDS - begin)) s")
  return $code
}
parts=()
source scripts/setup.sh  # not timed(): a failure inside must stop here
parts+=("set-up $SECONDS s")
# Conan is tested from a virtual environment of the build tree; without an index the test says so and counts as skipped.
timed venv scripts/python_venv.sh
timed configure cmake --preset "$preset"
timed build cmake --build --preset "$preset" -j "$jobs"
status=0
# One more than processors: tests that launch ranks, or wait for one that does not come, leave theirs idle nine tenths of the time.
timed tests ctest --preset "$preset" -j "${PLEAT_JOBS:-$((jobs + 1))}" "$@" || status=$?
# Why something was skipped, in the tests' own words: ctest says only what.
log=build/$preset/Testing/Temporary/LastTest.log
[[ ! -e $log ]] || awk '
  /explicitly with message:/ { on = 1; next }
  on && /^(-+|=+|\.+)?$/ { on = 0; print "pleat: skipped: " text; text = "" }
  on { sub(/^ +/, ""); text = text (text == "" ? "" : " ") $0 }' "$log" | sort | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)/\2 (\1 times)/'
printf 'pleat: %s\n' "$(printf '%s, ' "${parts[@]}" | sed 's/, $//')"
exit $status
