#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Creates the Kokkos and pleat packages in a Conan cache of the build tree and runs test_package: conan.sh SOURCE SCRATCH KOKKOS_VERSION
set -euo pipefail
source=$1 scratch=$2 kokkos=$3
conan=$source/build/venv/bin/conan
if [[ ! -x $conan ]]; then
  if [[ -n $(command -v conan) ]] && conan --version | grep -q 'version 2'; then
    conan=$(command -v conan)
  else
    echo "pleat: SKIPPED: no Conan 2 in build/venv (scripts/python_venv.sh brings it from PyPI) nor in the path"
    exit 4
  fi
fi
export CONAN_HOME=$scratch/conan
mkdir -p "$CONAN_HOME"
[[ -e $CONAN_HOME/profiles/default ]] || "$conan" profile detect >/dev/null 2>&1
"$conan" remote disable '*' >/dev/null 2>&1 || true  # everything comes from here: no registry is asked
# Conan must see only what it needs of the tree.
rm -rf "$scratch/tree"
mkdir -p "$scratch/tree/packaging"
cp -r "$source"/{CMakeLists.txt,LICENSE,conanfile.py,cmake,include,kernels,test_package} "$scratch/tree"
cp -r "$source/packaging/conan" "$scratch/tree/packaging"
cd "$scratch/tree"
"$conan" create packaging/conan/kokkos --version "$kokkos" -pr:a packaging/conan/profiles/system
"$conan" create . -pr:a packaging/conan/profiles/system --build=missing
