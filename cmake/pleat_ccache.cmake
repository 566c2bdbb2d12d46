# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# ccache in front of the compiler where there is one. The precompiled header needs two relaxations, and paths are taken
# relative to the source tree, so that two checkouts share their objects.
if(NOT CMAKE_CXX_COMPILER_LAUNCHER AND NOT DEFINED ENV{CMAKE_CXX_COMPILER_LAUNCHER})
  find_program(PLEAT_CCACHE ccache)
  mark_as_advanced(PLEAT_CCACHE)
  if(PLEAT_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${PLEAT_CCACHE})
    set(CMAKE_C_COMPILER_LAUNCHER ${PLEAT_CCACHE})
  endif()
endif()
