#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# build/venv with Conan 2 from PyPI. Never touches the system's Python; a missing index is said and is no failure here (the
# test that wants Conan is then skipped, in words).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -x build/venv/bin/conan ]] && exit 0
mkdir -p build
if ! command -v python3 >/dev/null; then
  echo "pleat: no python3, so no Conan: its test is skipped" >&2
elif python3 -m venv build/venv >build/venv.log 2>&1 &&
  build/venv/bin/pip install -q --disable-pip-version-check --retries 1 "conan>=2.5,<3" >>build/venv.log 2>&1; then
  echo "pleat: build/venv has $(build/venv/bin/conan --version)" >&2
else
  echo "pleat: pip could not bring Conan ($(tail -n1 build/venv.log)); its test is skipped" >&2
fi
