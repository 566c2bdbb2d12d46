#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The API reference, by Doxygen, into build/reference/html. A warning is an error, and so is a public class that nobody has described.
# Functions and members are looked at for what they say, not whether they say anything: many need no more than their names. Those
# without a word are counted, in the last line, and may not become more than there are: `ceiling`, as Doxygen 1.9.4 counts (others count
# otherwise, and are not held to it). Whoever describes some lowers it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ceiling=1758
out=${OUT:-build/reference}
command -v doxygen >/dev/null || {
  echo "pleat: SKIPPED: no doxygen here"
  exit 4
}
mkdir -p "$out"
version=$(sed -n 's/^#define PLEAT_VERSION_[MP][A-Z]* \([0-9]*\)$/\1/p' include/pleat/base/config.hpp | paste -sd.)
{
  cat docs/Doxyfile
  echo "OUTPUT_DIRECTORY = $out"
  echo "PROJECT_NUMBER = $version"
} | doxygen - 2>"$out/warnings" || true
if [[ -s $out/warnings ]]; then
  cat "$out/warnings"
  echo "pleat: Doxygen has $(wc -l <"$out/warnings") lines of warnings"
  exit 1
fi
{
  cat docs/Doxyfile
  printf '%s\n' "EXTRACT_ALL = NO" "WARN_IF_UNDOCUMENTED = YES" "GENERATE_HTML = NO" "OUTPUT_DIRECTORY = $out"
} | doxygen - 2>&1 | grep -E 'warning: .* is not documented' >"$out/without_words" || true
grep 'warning: Compound' "$out/without_words" >"$out/undescribed" || true
if [[ -s $out/undescribed ]]; then
  cat "$out/undescribed"
  echo "pleat: $(wc -l <"$out/undescribed") classes have no description"
  exit 1
fi
silent=$(wc -l <"$out/without_words")
if [[ $(doxygen --version) == 1.9.4* ]] && ((silent > ceiling)); then
  sed 's/: warning:/:/' "$out/without_words" | tail -n 20
  echo "pleat: $silent functions and members have no words of their own, more than the $ceiling that there may be: describe what you add (all of them: $out/without_words)"
  exit 1
fi
echo "pleat: the reference is in $out/html/index.html; $silent functions and members have no words of their own, of $ceiling that there may be"
