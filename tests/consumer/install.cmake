# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Installs into an empty prefix and looks whether everything is there, and nothing else.
file(REMOVE_RECURSE ${PREFIX})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
foreach(file IN ITEMS include/pleat/base/config.hpp share/cmake/pleat/pleat-config.cmake
    share/cmake/pleat/pleat-config-version.cmake share/doc/pleat/LICENSE)
  if(NOT EXISTS ${PREFIX}/${file})
    message(FATAL_ERROR "the installation has no ${file}")
  endif()
endforeach()
file(GLOB kernels RELATIVE ${SOURCE}/kernels ${SOURCE}/kernels/*.cpp)
foreach(file IN LISTS kernels)
  if(NOT EXISTS ${PREFIX}/share/cmake/pleat/kernels/${file})
    message(FATAL_ERROR "the installation has no source ${file} of pleat::kernels")
  endif()
endforeach()
file(GLOB_RECURSE installed RELATIVE ${PREFIX} ${PREFIX}/*)
list(FILTER installed EXCLUDE REGEX "^(include/pleat/.*\\.hpp|share/cmake/pleat/[a-z_-]+\\.cmake|share/cmake/pleat/kernels/[a-z0-9_]+\\.cpp|share/doc/pleat/LICENSE)$")
if(installed)
  message(FATAL_ERROR "the installation has more than headers, package files, sources of pleat::kernels and the licence: ${installed}")
endif()
