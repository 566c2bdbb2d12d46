# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Runs packaging/vcpkg/ports/pleat/portfile.cmake from a source archive, with stand-ins for the functions that vcpkg gives a port,
# then builds test_package against what it installed. Proves the port's own steps, not vcpkg's resolution of dependencies.
cmake_policy(VERSION 3.25)
file(REMOVE_RECURSE ${SCRATCH})
set(CURRENT_PACKAGES_DIR ${SCRATCH}/packages/pleat)
set(CURRENT_BUILDTREES_DIR ${SCRATCH}/buildtrees)
set(PORT pleat)
set(FEATURES core mpi)

file(MAKE_DIRECTORY ${SCRATCH}/archive)
file(COPY ${SOURCE}/CMakeLists.txt ${SOURCE}/LICENSE ${SOURCE}/cmake ${SOURCE}/include ${SOURCE}/kernels DESTINATION ${SCRATCH}/archive/pleat-source)
execute_process(COMMAND ${CMAKE_COMMAND} -E tar czf ${SCRATCH}/pleat.tar.gz pleat-source
  WORKING_DIRECTORY ${SCRATCH}/archive COMMAND_ERROR_IS_FATAL ANY)
set(ENV{PLEAT_ARCHIVE} ${SCRATCH}/pleat.tar.gz)

include(${CMAKE_CURRENT_LIST_DIR}/vcpkg_functions.cmake)
include(${SOURCE}/packaging/vcpkg/ports/pleat/portfile.cmake)

foreach(file IN ITEMS share/pleat/copyright share/pleat/usage share/pleat/pleat-config.cmake share/pleat/kernels/gemm.cpp include/pleat/base/config.hpp)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/${file})
    message(FATAL_ERROR "the port installs no ${file}")
  endif()
endforeach()
foreach(folder IN ITEMS debug lib bin)
  if(EXISTS ${CURRENT_PACKAGES_DIR}/${folder})
    message(FATAL_ERROR "a header-only port must leave no ${folder}/")
  endif()
endforeach()
execute_process(COMMAND ${CMAKE_COMMAND} -G Ninja -S ${SOURCE}/test_package -B ${SCRATCH}/user -DCMAKE_CXX_COMPILER=${COMPILER}
  -DKokkos_DIR=${KOKKOS} -DCMAKE_PREFIX_PATH=${CURRENT_PACKAGES_DIR} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH}/user OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${SCRATCH}/user/test_package COMMAND_ERROR_IS_FATAL ANY)
