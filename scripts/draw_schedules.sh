#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Draws the pictures of docs/schedules.md anew.
#   scripts/draw_schedules.sh [PROGRAM]    default: build/release/bin/schedule
set -euo pipefail
program=$(realpath "${1:-build/release/bin/schedule}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p docs/schedules
for kind in gpipe 1f1b interleaved zb-h1 zb-h2 zb-v dualpipe-v; do
  "$program" --kind "$kind" --stages 4 --micro-batches 8 --svg "docs/schedules/$kind.svg" >/dev/null
done
