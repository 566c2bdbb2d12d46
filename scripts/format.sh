#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Formats every C++ file as .clang-format says:  scripts/format.sh [--check]
# --check changes nothing, names the files that differ and exits with 1. The tree is written in the lines of clang-format 16 (another
# version breaks some elsewhere): PyPI's, which scripts/python_venv.sh brings, or the system's. Exit code 4 where there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
formatter=
for candidate in build/venv/bin/clang-format clang-format-16 clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q 'version 16\.'; then formatter=$candidate && break; fi
done
if [[ -z $formatter ]]; then
  echo "pleat: there is no clang-format 16 here: scripts/python_venv.sh brings it, or install clang-format-16" >&2
  exit 4
fi
files() { find include kernels examples bench tests test_package \( -name '*.hpp' -o -name '*.cpp' \) -not -path '*/build/*'; }
if [[ ${1:-} == --check ]]; then
  said=$(files | xargs "$formatter" --dry-run --Werror 2>&1) && exit 0
  differing=$(sed -n 's/:[0-9]*:[0-9]*: error: .*//p' <<<"$said" | sort -u)
  if [[ -n $differing ]]; then sed 's/^/pleat: scripts\/format.sh changes /' <<<"$differing" >&2; else printf '%s\n' "$said" >&2; fi
  exit 1
fi
files | xargs "$formatter" -i
