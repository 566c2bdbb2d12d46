#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The order of the rooms: a room includes itself and the rooms above it. One third-party header has one door: the room that
# owns it, and one file there (Thrust's many small headers: the room alone). Run from anywhere; exit code 1 and one line per offence.
#   scripts/check_rooms.sh [include folder]
set -euo pipefail
include=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/include}
cd "$include"
grep -rnE '^ *# *include' pleat --include='*.hpp' | awk -F: '
BEGIN {
  rooms = split("base tensor comm compute codec nn plan io parallel run compress", order, " ")
  for (i = 1; i <= rooms; ++i) rank[order[i]] = i
  # third-party header (a prefix) -> the room that may open it
  owner["mpi.h"] = "comm"; owner["nccl.h"] = "comm"
  owner["thrust/"] = "compute"; owner["cub/"] = "compute"; owner["cuda"] = "compute"; owner["cublas"] = "compute"
  owner["cusolver"] = "compute"; owner["cblas.h"] = "compute"; owner["lapack"] = "compute"
  owner["cmath"] = "base"  # libstdc++ would read it anew at each inclusion
  owner["zlib.h"] = "io"; owner["nlohmann/"] = "io"; owner["dlpack/"] = "io"
}
{
  file = $1; line = $2
  split(file, path, "/")
  room = (path[3] == "") ? "" : path[2]
  if (room == "") { room = path[2]; sub(/\.hpp$/, "", room) }  # pleat/<room>.hpp is the door of its room
  if ($0 !~ /[<"][^>"]+[>"]/) next
  match($0, /[<"][^>"]+[>"]/)
  quoted = substr($0, RSTART, 1) == "\""
  target = substr($0, RSTART + 1, RLENGTH - 2)
  where = file ":" line ": "
  if (quoted) { print where "include \"" target "\" in angle brackets from the root: <pleat/...>"; bad = 1; next }
  if (target ~ /^pleat\//) {
    split(target, to, "/")
    name = to[2]; sub(/\.hpp$/, "", name)
    if (!(room in rank)) next  # the umbrella, fwd.hpp
    if (!(name in rank)) {
      if (name != "fwd") { print where "a room must not include <" target ">: it is above all rooms"; bad = 1 }
    } else if (rank[name] > rank[room]) {
      print where room "/ includes " name "/, which is below it (order: base tensor comm compute codec nn plan io parallel run compress)"; bad = 1
    }
    next
  }
  if (target ~ /^Kokkos/ && target != "Kokkos_Core.hpp") {
    print where "of Kokkos only <Kokkos_Core.hpp>: its parts are no public headers"; bad = 1
  }
  for (prefix in owner) if (index(target, prefix) == 1) {
    if (room != owner[prefix]) { print where "<" target "> belongs to " owner[prefix] "/"; bad = 1 }
    if (prefix == "thrust/" || prefix == "cub/") continue  # many small headers: the room is the door
    if ((target in door) && door[target] != file) { print where "<" target "> already has a door: " door[target]; bad = 1 }
    door[target] = file
  }
}
END { exit bad }' || {
  echo "pleat: the order of the rooms is broken (docs/architecture.md, section 3)" >&2
  exit 1
}
echo "pleat: the rooms are in order"
