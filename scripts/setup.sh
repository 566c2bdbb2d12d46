#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Puts on this machine what pleat needs, and says each step. Run it, or source it: both READMEs' commands do.
#   scripts/setup.sh          on Debian as root in a container or in CI: no question; on a person's machine: says what it
#                             would change in apt and asks (the default answer is no)
#   scripts/setup.sh --yes    does not ask
# Ways to a Kokkos, in this order: one that CMake finds; the package manager's; a source tree (FETCHCONTENT_SOURCE_DIR_KOKKOS,
# or the pinned release from the network); Debian's own package from its newest suite. To undo the last one: remove
# /etc/apt/sources.list.d/pleat-kokkos.sources and /etc/apt/preferences.d/pleat-kokkos.
set -euo pipefail

pleat_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pleat_sources=${PLEAT_APT_DIR:-/etc/apt}/sources.list.d/pleat-kokkos.sources
pleat_pins=${PLEAT_APT_DIR:-/etc/apt}/preferences.d/pleat-kokkos
pleat_kokkos_release=5.0.0
pleat_kokkos_sha256=c45f3e19c3eb71fc8b7210cb04cac658015fc1839e7cc0571f7406588ff9bcef
pleat_yes=${PLEAT_YES:-no}
[[ ${1:-} == --yes ]] && pleat_yes=yes

say() { printf 'pleat: %s\n' "$*" >&2; }
stop() {
  say "$*"
  exit 1
}

# A container or CI belongs to nobody in particular; a person's machine is changed only when the person says so.
in_container() {
  [[ -n ${CI:-} || -e /.dockerenv || -e /run/.containerenv || -n ${container:-} ]] && return 0
  [[ -r /proc/1/cgroup ]] && grep -qE 'docker|lxc|kubepods|containerd|podman' /proc/1/cgroup && return 0
  command -v systemd-detect-virt >/dev/null && systemd-detect-virt -qc && return 0
  command -v ischroot >/dev/null && ischroot && return 0
  return 1
}
# Each change is asked about by itself.
may_change_apt() {
  if [[ $pleat_yes == yes ]] || { [[ $(id -u) == 0 ]] && in_container; }; then return 0; fi
  if [[ ! -t 0 ]]; then
    say "this would change your machine, and nobody is there to ask: $* (scripts/setup.sh --yes goes on without asking)"
    return 1
  fi
  say "this would change your machine: $*"
  local answer
  read -r -p "pleat: go on? [y/N] " answer
  [[ $answer == [yY]* ]]
}
as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}
apt_install() {
  say "apt-get install $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o Dpkg::Options::=--force-confold "$@" >"$pleat_root/build/apt.log" 2>&1 || {
    tail -n 15 "$pleat_root/build/apt.log" >&2
    stop "apt-get install failed; the whole of what it said is in build/apt.log"
  }
}
apt_update() { as_root apt-get update -q >"$pleat_root/build/apt.log" 2>&1; }
apt_fresh() {
  [[ ${pleat_updated:-no} == "${1:-yes}" ]] && return
  pleat_updated=${1:-yes}
  say "apt-get update"
  apt_update && return
  # A mirror that stands still (a snapshot, a cache without network) serves an index whose validity has run out.
  if grep -q 'Release file.*is expired' "$pleat_root/build/apt.log" && [[ -e $pleat_sources ]] && in_container &&
    ! grep -q Check-Valid-Until "$pleat_sources"; then
    say "this mirror's index of the new suites is past its date (a frozen mirror?); taking it all the same: signatures are still checked"
    echo 'Check-Valid-Until: no' | as_root tee -a "$pleat_sources" >/dev/null
    apt_update && return
  fi
  tail -n 5 "$pleat_root/build/apt.log" >&2
  stop "apt-get update failed: is the package mirror reachable?"
}
installed() { [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]; }
candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p'; }
at_least() { [[ -n $1 && $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1) == "$2" ]]; }

# Does CMake find a Kokkos that we can use? Prints "version folder". Asked in a scratch project, as a consumer would ask.
probe_kokkos() {
  local folder=$pleat_root/build/probe
  command -v cmake >/dev/null && command -v c++ >/dev/null && command -v ninja >/dev/null || return 1
  rm -rf "$folder" && mkdir -p "$folder"
  cat >"$folder/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.22)
project(probe LANGUAGES CXX)
find_package(Kokkos 4.7...<6 CONFIG QUIET)
if(NOT Kokkos_FOUND)
  message(FATAL_ERROR "none")
endif()
file(WRITE ${CMAKE_BINARY_DIR}/found "${Kokkos_VERSION} ${Kokkos_DIR}\n")
END
  cmake -G Ninja -S "$folder" -B "$folder/b" >"$folder/log" 2>&1 && cat "$folder/b/found"
}

# Debian's libkokkos-dev 5.2.2-2 names two static archives that it does not contain; empty ones make its CMake files true.
mend_kokkos_archives() {
  local core archive
  for core in /usr/lib/*/libkokkoscore.so; do
    [[ -e $core ]] || return 0
    for archive in libkokkosalgorithms.a libkokkossimd.a; do
      if [[ ! -e ${core%/*}/$archive ]] && grep -qs "$archive" "${core%/*}"/cmake/Kokkos/*.cmake; then
        may_change_apt "an empty ${core%/*}/$archive, which Debian's Kokkos package names and does not contain" || return 0
        say "creating the empty archive ${core%/*}/$archive, which Debian's Kokkos package names and does not contain"
        as_root ar qc "${core%/*}/$archive"
      fi
    done
  done
}

# Adds Debian's testing-to-be suites behind everything that the machine already has. The mirror and its key are those of the
# machine's own entry for the base suite.
add_newer_debian() {
  if [[ -e $pleat_sources && -e $pleat_pins ]]; then
    apt_fresh newer
    return
  fi
  local line site="" key="" file="" sources
  line=$(apt-get indextargets --format '$(REPO_URI)|$(CODENAME)|$(RELEASE)|$(SOURCESENTRY)' 'Created-By: Packages' 'Component: main' |
    grep -E '\|(bookworm|trixie|stable|oldstable)\|' | head -n1) || true
  [[ -n $line ]] || return 1
  site=${line%%|*}
  file=${line##*|}
  sources=${file%:*}
  key=$(sed -n 's/^Signed-By: *//p' "$sources" 2>/dev/null | head -n1)
  [[ -n $key ]] || key=$(sed -n "s/.*signed-by=\([^] ]*\).*/\1/p" "$sources" 2>/dev/null | head -n1)
  may_change_apt "add the suites trixie (priority 100) and sid (50; libkokkos*: 600) of ${site%/} to apt in $pleat_sources and $pleat_pins, and install libkokkos-dev, which upgrades libc and libstdc++ to Debian 13's on Debian 12" || return 1
  say "adding the suites trixie and sid of ${site%/} to apt, behind what is configured ($pleat_sources, $pleat_pins)"
  {
    printf 'Types: deb\nURIs: %s\nSuites: trixie sid\nComponents: main\n' "${site%/}"
    [[ -z $key ]] || printf 'Signed-By: %s\n' "$key"
  } | as_root tee "$pleat_sources" >/dev/null
  as_root tee "$pleat_pins" >/dev/null <<'END'
Package: *
Pin: release n=trixie
Pin-Priority: 100

Package: *
Pin: release n=sid
Pin-Priority: 50

Package: libkokkos*
Pin: release n=sid
Pin-Priority: 600
END
  apt_fresh newer
}
# From trixie where the base suite is older; on Debian 13 itself that is the base suite.
install_newer() {
  apt_install -t trixie "$@"
}

# Tools and third-party packages other than Kokkos. Only what is missing is touched.
need_packages() {
  local wanted missing=() name
  if ! command -v apt-get >/dev/null; then
    for name in cmake ninja c++ mpirun; do
      command -v "$name" >/dev/null ||
        stop "'$name' is not here, and this is not a machine with apt. Needed: CMake >= 3.25, Ninja, g++ >= 12 or clang >= 16, Open MPI or MPICH >= 4, zlib, Catch2 >= 3.4, Google Benchmark >= 1.7, CLI11, nlohmann-json, OpenBLAS, LAPACK"
    done
    return 0
  fi
  wanted=(ca-certificates curl g++ cmake ninja-build ccache doxygen python3 python3-venv zlib1g-dev
    openmpi-bin libopenmpi-dev libopenblas-dev liblapack-dev)
  for name in "${wanted[@]}"; do
    case $name in
      python3 | python3-venv) command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null && continue ;;
      cmake | ccache | doxygen | curl) command -v "$name" >/dev/null && continue ;;
      g++) command -v c++ >/dev/null && continue ;;
      ninja-build) command -v ninja >/dev/null && continue ;;
    esac
    installed "$name" || missing+=("$name")
  done
  if ((${#missing[@]})); then
    may_change_apt "install ${missing[*]} by apt" || stop "these packages are missing: ${missing[*]}"
    apt_fresh
    apt_install "${missing[@]}"
  fi
}

# Catch2 3, benchmark, CLI11, JSON and Thrust come in useful versions from Debian 13 on.
need_newer_packages() {
  command -v apt-get >/dev/null || return 0
  local name missing=()
  for name in catch2 libbenchmark-dev libcli11-dev nlohmann-json3-dev; do
    installed "$name" || missing+=("$name")
  done
  # Thrust comes with a CUDA Toolkit; where there is none, Debian's headers.
  if ! command -v nvcc >/dev/null && [[ ! -d /usr/local/cuda/lib/cmake/cccl ]]; then
    for name in libthrust-dev libcub-dev; do installed "$name" || missing+=("$name"); done
  fi
  if installed catch2 && ! at_least "$(dpkg-query -W -f '${Version}' catch2)" 3.4; then missing+=(catch2); fi
  ((${#missing[@]})) || return 0
  may_change_apt "install ${missing[*]} by apt" || stop "these packages are missing: ${missing[*]}"
  [[ -n ${pleat_updated:-} ]] || apt_fresh
  if at_least "$(candidate catch2)" 3.4; then
    apt_install "${missing[@]}"
  elif add_newer_debian; then
    say "this release's Catch2 is older than 3.4, taking Debian 13's"
    install_newer "${missing[@]}"
  else
    stop "Catch2 >= 3.4 is neither here nor in the configured suites; install it, and set Catch2_ROOT"
  fi
}

build_kokkos() {
  local source=$1 prefix=$pleat_root/build/kokkos devices=(-DKokkos_ENABLE_SERIAL=ON -DKokkos_ENABLE_OPENMP=ON)
  [[ ${PLEAT_KOKKOS_CUDA:-OFF} == ON ]] && devices+=(-DKokkos_ENABLE_CUDA=ON)
  say "building Kokkos from $source into build/kokkos (${devices[*]}); once, a few minutes"
  cmake -S "$source" -B "$pleat_root/build/kokkos-build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_STANDARD=20 \
    -DCMAKE_INSTALL_PREFIX="$prefix" "${devices[@]}" >"$pleat_root/build/kokkos.log" 2>&1 &&
    cmake --build "$pleat_root/build/kokkos-build" --target install >>"$pleat_root/build/kokkos.log" 2>&1 || {
    tail -n 10 "$pleat_root/build/kokkos.log" >&2
    say "Kokkos did not build; build/kokkos.log has the whole story"
    return 1
  }
  export Kokkos_ROOT=$prefix
}
kokkos_from_source() {
  if [[ -n ${FETCHCONTENT_SOURCE_DIR_KOKKOS:-} ]]; then
    build_kokkos "$FETCHCONTENT_SOURCE_DIR_KOKKOS"
    return
  fi
  local name=kokkos-$pleat_kokkos_release
  local address=https://github.com/kokkos/kokkos/releases/download/$pleat_kokkos_release/$name.tar.gz
  local file=$pleat_root/build/$name.tar.gz
  if [[ ! -e $file ]]; then
    say "way 3: asking for the Kokkos release $pleat_kokkos_release at $address"
    if ! curl -fsSL --connect-timeout 4 --retry 0 --speed-time 10 --speed-limit 1000 -m 300 -o "$file.part" "$address" \
      2>"$pleat_root/build/curl.log"; then
      say "no answer from there ($(head -n1 "$pleat_root/build/curl.log")); going on to the next way"
      return 1
    fi
    mv "$file.part" "$file"
  fi
  if ! echo "$pleat_kokkos_sha256  $file" | sha256sum -c --status; then
    rm -f "$file"
    say "what came is not the release that this script knows (its SHA-256 differs); going on to the next way"
    return 1
  fi
  tar -C "$pleat_root/build" -xzf "$file" && build_kokkos "$pleat_root/build/$name"
}

need_kokkos() {
  local found version runtime
  [[ -d $pleat_root/build/kokkos && -z ${Kokkos_ROOT:-} ]] && export Kokkos_ROOT=$pleat_root/build/kokkos
  mend_kokkos_archives
  if found=$(probe_kokkos); then
    say "way 1: CMake finds Kokkos $found"
    return 0
  fi
  say "way 1: CMake finds no Kokkos from 4.7 up to 5.x (Kokkos_ROOT, CMAKE_PREFIX_PATH)"
  if command -v apt-get >/dev/null; then
    version=$(candidate libkokkos-dev)
    if at_least "$version" 4.7 && ! at_least "$version" 6; then
      say "way 2: the package manager offers libkokkos-dev $version"
      may_change_apt "install libkokkos-dev $version by apt" && apt_install libkokkos-dev && mend_kokkos_archives
      found=$(probe_kokkos) && return 0
    else
      say "way 2: the package manager offers no libkokkos-dev from 4.7 up to 5.x"
    fi
  fi
  if kokkos_from_source && found=$(probe_kokkos); then
    say "way 3: Kokkos $found, built from source"
    return 0
  fi
  if command -v apt-get >/dev/null && grep -qs '^ID=debian' /etc/os-release && add_newer_debian; then
    apt_fresh newer
    runtime=$(LC_ALL=C apt-cache depends libkokkos-dev | sed -n 's/^ *Depends: \(libkokkos[0-9.]*\)$/\1/p' | head -n1)
    say "way 4: Debian's newest libkokkos-dev $(candidate libkokkos-dev)"
    install_newer libkokkos-dev ${runtime:+"$runtime"}
    mend_kokkos_archives
    found=$(probe_kokkos) && return 0
    stop "libkokkos-dev is installed, but CMake still cannot use it: $(tail -n 3 "$pleat_root/build/probe/log" | tr '\n' ' ')"
  fi
  stop "no Kokkos: install one from 4.7 up to 5.x (Spack, module system, source) and set Kokkos_ROOT to its prefix"
}

# The second run must cost a second: what was set up is remembered with this script's own text and what it stands on.
pleat_setup() {
  mkdir -p "$pleat_root/build"
  local stamp=$pleat_root/build/setup.stamp mark
  mark="$(cksum <"$pleat_root/scripts/setup.sh") ${Kokkos_ROOT:-} ${CMAKE_PREFIX_PATH:-} $(stat -c %Y /var/lib/dpkg/status 2>/dev/null)"
  if [[ -e $stamp && $(head -n1 "$stamp") == "$mark" ]]; then
    [[ -d $pleat_root/build/kokkos && -z ${Kokkos_ROOT:-} ]] && export Kokkos_ROOT=$pleat_root/build/kokkos
    return 0
  fi
  local entered_with=${Kokkos_ROOT:-}
  need_packages
  need_kokkos
  need_newer_packages
  echo "$(cksum <"$pleat_root/scripts/setup.sh") $entered_with ${CMAKE_PREFIX_PATH:-} $(stat -c %Y /var/lib/dpkg/status 2>/dev/null)" >"$stamp"
  say "the machine is set up"
}

# CI machines differ; where nvcc is installed beside the path, use it.
if ! command -v nvcc >/dev/null && [[ -x /usr/local/cuda/bin/nvcc ]]; then export PATH=$PATH:/usr/local/cuda/bin; fi
pleat_setup
