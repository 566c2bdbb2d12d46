#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Compiles every device path for Kokkos::Cuda with nvcc, in three files, and device-links them. Needs neither a device nor a
# CUDA build of Kokkos: five generated headers in front of the installed ones switch Kokkos' CUDA part on. Then demands that
# nothing is left undefined but what Kokkos, desul, CUDA, MPI, zlib and the C and C++ runtimes define.
#   scripts/cuda_compile.sh [kernels | layers | models | link] ...     without arguments: all files, then link
# Few files, as rooms share instances, and as nvcc reads Kokkos, CUDA and CCCL four times for each of them; what a file compiles,
# those after it take from there: they say so by compute/instances.hpp, as programs do that link pleat::kernels.
# Settings: NVCC, CUDA_ARCH (sm_90), KOKKOS_INCLUDE, OUT (build/cuda-compile).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${OUT:-$root/build/cuda-compile}
arch=${CUDA_ARCH:-sm_90}
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
if [[ ! -x $nvcc ]]; then
  echo "pleat: no nvcc here, so no device path is compiled (set NVCC, or install a CUDA Toolkit >= 12.2)"
  exit 4
fi
toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
all_rooms=$(cd "$root/include/pleat" && for room in */; do [[ -n $(find "$room" -name '*.hpp' | head -n1) ]] && echo "${room%/}"; done)
[[ -e $root/examples/01_train_shrink_run/train_shrink_run.cpp ]] && all_rooms+=" examples"
files="kernels layers models"
# The rooms of a file; whatever is not named goes into the last one.
rooms_of() {
  case $1 in
    kernels) echo base tensor plan comm compute ;;
    layers) echo codec nn ;;
    models) comm -23 <(tr ' ' '\n' <<<"${all_rooms//$'\n'/ }" | sort) <(echo $(rooms_of kernels) $(rooms_of layers) | tr ' ' '\n' | sort) ;;
  esac
}
export LC_ALL=C

kokkos=${KOKKOS_INCLUDE:-}
if [[ -z $kokkos ]]; then
  for kokkos in "${Kokkos_ROOT:-/nowhere}/include" "$root/build/kokkos/include" /usr/include/kokkos /usr/local/include /usr/include; do
    [[ -e $kokkos/KokkosCore_config.h ]] && break
  done
fi
[[ -e $kokkos/KokkosCore_config.h ]] || { echo "pleat: no KokkosCore_config.h found; set KOKKOS_INCLUDE" >&2 && exit 1; }

# The five headers that say which backends a Kokkos has, rewritten from those of the installed one.
front=$out/front
generate_front() {
  mkdir -p "$front/desul/atomics"
  sed -E 's,/\* #undef (KOKKOS_ENABLE_CUDA|KOKKOS_ENABLE_CUDA_LAMBDA|KOKKOS_ARCH_HOPPER|KOKKOS_ARCH_HOPPER90) \*/,#define \1,' \
    "$kokkos/KokkosCore_config.h" >"$front/KokkosCore_config.h.new"
  grep -q 'KOKKOS_ENABLE_CUDA_LAMBDA' "$front/KokkosCore_config.h.new" ||
    printf '#define KOKKOS_ENABLE_CUDA_LAMBDA\n' >>"$front/KokkosCore_config.h.new"
  local part
  for part in Declare Fwd Setup; do
    local folder=${part,,} name=CUDA
    [[ $part == Declare ]] && folder=decl
    [[ $part == Setup ]] && name=Cuda
    # After the host backends: that is the order in which Kokkos itself lists them.
    sed "\$s,^#endif.*,#include <$folder/Kokkos_${part}_$name.hpp>\n#endif," \
      "$kokkos/KokkosCore_Config_${part}Backend.hpp" >"$front/KokkosCore_Config_${part}Backend.hpp.new"
  done
  sed -E 's,/\* #undef DESUL_ATOMICS_ENABLE_CUDA \*/,#define DESUL_ATOMICS_ENABLE_CUDA,' \
    "$kokkos/desul/atomics/Config.hpp" >"$front/desul/atomics/Config.hpp.new"
  local new
  find "$front" -name '*.new' | while read -r new; do
    cmp -s "$new" "${new%.new}" || cp "$new" "${new%.new}"
    rm "$new"
  done
}

flags=(-std=c++20 "-arch=$arch" --extended-lambda --expt-relaxed-constexpr -Xcompiler=-fopenmp -DKOKKOS_DEPENDENCE
  -diag-suppress=20012,1675 "-I$front" "-I$root/include" "-I$root/tests" -isystem "$kokkos")
# What is never run needs no optimiser: the host's is off where nothing asks for it, of nvcc's since 12.9 the expensive part.
if grep -q Ofast-compile <<<"$("$nvcc" --help)"; then flags+=(-Ofc mid); fi
flags+=(-Xcompiler=--param=ggc-min-expand=100,--param=ggc-min-heapsize=524288)
[[ -d $toolkit/include/cccl ]] && flags+=("-I$toolkit/include/cccl")
if command -v mpicxx >/dev/null; then
  flags+=(-DPLEAT_HAS_MPI -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX)
  for word in $(mpicxx --showme:incdirs 2>/dev/null || mpicxx -show | grep -oE -- '-I[^ ]+' | sed 's/^-I//'); do
    flags+=(-isystem "$word")
  done
fi
[[ -e /usr/include/zlib.h ]] && flags+=(-DPLEAT_HAS_ZLIB)
launcher=()
command -v ccache >/dev/null && launcher=(env CCACHE_BASEDIR="$root" ccache)

# Every header of the file's rooms, then the instances of their templates for Kokkos::Cuda (tests/cuda/instantiate.py; what that
# cannot write may be in tests/cuda/<room>.hpp). "examples" stands for the main job (all but its command line), which goes through
# all rooms.
write_file() {
  local file=$1 room header source
  if [[ $file == kernels ]]; then
    echo "#define PLEAT_KERNEL"
    grep -oE 'PLEAT_KERNELS_\w+' "$root/include/pleat/compute/instances.hpp" | sort -u | sed 's/^/#define /'
  fi
  echo "#include <pleat/compute/instances.hpp>"
  if [[ $file == layers ]]; then printf '#undef PLEAT_FORM\n#define PLEAT_FORM\n#include <pleat/plan/measure.hpp>\n'; fi  # as kernels/forms.cpp
  for room in $(rooms_of "$file"); do
    [[ $room != examples ]] || continue
    # The other instances.hpp say of whole models that they are compiled elsewhere; here is elsewhere.
    (cd "$root/include" && find "pleat/$room" -name '*.hpp' ! -name instances.hpp | sort) | while read -r header; do echo "#include <$header>"; done
  done
  for room in $(rooms_of "$file"); do
    if [[ $room == examples ]]; then
      echo '#define PLEAT_DIGITS ""'
      for source in figures mlp lenet_5; do echo "#include \"$root/examples/01_train_shrink_run/$source.cpp\""; done
    else
      if [[ -e $root/tests/cuda/$room.hpp ]]; then echo "#include <cuda/$room.hpp>"; fi
      python3 "$root/tests/cuda/instantiate.py" "$root/include" "$room"
    fi
  done
}
compile_file() {
  local file=$1 begin=$SECONDS
  # ctest compiles several files at once: one of them writes the shared headers, the others wait.
  (
    flock 9
    generate_front
  ) 9>"$out/front.lock"
  write_file "$file" >"$out/$file.cu.new"
  cmp -s "$out/$file.cu.new" "$out/$file.cu" || cp "$out/$file.cu.new" "$out/$file.cu"
  "${launcher[@]}" "$nvcc" "${flags[@]}" -c "$out/$file.cu" -o "$out/$file.o"
  echo "pleat: $file (" $(rooms_of "$file") ") compiled for $arch in $((SECONDS - begin)) s"
}

# Symbols that a library on this machine defines.
defined_by() {
  local name file
  for name in "$@"; do
    file=$(g++ -print-file-name="$name")
    [[ -e $file ]] || file=$toolkit/lib64/$name
    [[ -e $file ]] || continue
    nm -D --defined-only "$(readlink -f "$file")" 2>/dev/null | awk '{ sub(/@.*/, "", $3); print $3 }'
  done
}
link_files() {
  local objects=() file
  for file in "$@"; do objects+=("$out/$file.o"); done
  "$nvcc" "-arch=$arch" -dlink "${objects[@]}" -o "$out/device_link.o"
  ld -r "${objects[@]}" -o "$out/all.o"
  nm -u "$out/all.o" | awk '{ print $2 }' | sort -u >"$out/undefined"
  {
    defined_by libc.so.6 libm.so.6 libstdc++.so.6 libgcc_s.so.1 libgomp.so.1 libpthread.so.0 libmpi.so libz.so libcudart.so libdl.so.2
    echo __dso_handle _GLOBAL_OFFSET_TABLE_ atexit __cpu_features2 | tr ' ' '\n'  # the last one: of libgcc.a, which no program links dynamically
  } | sort -u >"$out/defined"
  # cuda* and __cuda*: the CUDA runtime's own, also where only its static library is installed.
  comm -23 "$out/undefined" "$out/defined" | grep -vE '^(__)?cuda' | c++filt |
    grep -vE '^((vtable|typeinfo|typeinfo name|guard variable|VTT) for )?(Kokkos|desul)::|^(non-virtual thunk to )?(Kokkos|desul)::' >"$out/foreign" || true
  if [[ -s $out/foreign ]]; then
    echo "pleat: undefined, and neither Kokkos', desul's, CUDA's nor a runtime's:"
    cat "$out/foreign"
    exit 1
  fi
  echo "pleat: $(wc -l <"$out/undefined") undefined symbols, $(c++filt <"$out/undefined" | grep -cE '(Kokkos|desul)::') of Kokkos and desul, none foreign"
}

mkdir -p "$out"
for word in ${*:-$files link}; do
  case " $files " in
    *" $word "*) compile_file "$word" ;;
    *) [[ $word == link ]] || { echo "pleat: cuda_compile.sh knows $files and link, not '$word'" >&2 && exit 1; } && link_files $files ;;
  esac
done
