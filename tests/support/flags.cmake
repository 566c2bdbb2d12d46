# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# cmake -DCOMMANDS=compile_commands.json -DFLAGS=out -DMODELS=out -DPLAIN=out -DCOMPILER=path -P flags.cmake
function(flags_of target out)
  file(STRINGS ${COMMANDS} line REGEX "\"command\": .*${target}\\.dir/support/empty\\.cpp\\.o .*\",?$")
  if(NOT line MATCHES "\"command\": \"(.*) -o [^ ]+ -c [^ ]+\",?$")
    message(FATAL_ERROR "${COMMANDS} has no compile command of tests/support/empty.cpp for ${target}")
  endif()
  set(flags "${CMAKE_MATCH_1}")
  string(FIND "${flags}" "${COMPILER} " at)  # a launcher may stand before it
  string(LENGTH "${COMPILER} " length)
  math(EXPR at "${at} + ${length}")
  string(SUBSTRING "${flags}" ${at} -1 flags)
  string(REPLACE "\\\"" "\"" flags "${flags}")
  string(REPLACE "\\\\" "\\" flags "${flags}")
  set(${out} "${flags}" PARENT_SCOPE)
endfunction()
flags_of(pleat_test_pch flags)
file(WRITE ${FLAGS} "${flags}\n")
string(REGEX REPLACE " -Winvalid-pch| -include(-pch)? [^ ]+cmake_pch[^ ]*| -Xclang" "" plain "${flags}")
file(WRITE ${PLAIN} "${plain}\n")
flags_of(pleat_test_models_pch flags)
file(WRITE ${MODELS} "${flags}\n")
