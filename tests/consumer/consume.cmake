# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# cmake -DPROJECT= -DSCRATCH= -DWAY= [-DCOMPONENTS=] [-DEXPECT_FAILURE=ON] ... -P consume.cmake
file(REMOVE_RECURSE ${SCRATCH})
execute_process(COMMAND ${CMAKE_COMMAND} -G Ninja -S ${PROJECT} -B ${SCRATCH} -DCMAKE_BUILD_TYPE=Debug
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PREFIX_PATH=${PREFIX} "-DKokkos_DIR=${KOKKOS}" -DPLEAT_SOURCE=${SOURCE}
    -DWAY=${WAY} "-DCOMPONENTS=${COMPONENTS}" ${EXTRA}
  RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(EXPECT_FAILURE)
  message("${said}")
  if(code EQUAL 0)
    message(FATAL_ERROR "configured, and should not have")
  endif()
  return()
endif()
if(NOT code EQUAL 0)
  message(FATAL_ERROR "the consumer does not configure:\n${said}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH} COMMAND_ERROR_IS_FATAL ANY)
set(programs ${SCRATCH}/consumer)
if("${EXTRA}" MATCHES "-DDOORS=ON")
  list(APPEND programs ${SCRATCH}/doors)
endif()
if("${EXTRA}" MATCHES "-DKERNELS=ON")
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH} --target without_kernels
    RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(code EQUAL 0 OR NOT said MATCHES "undefined [^\n]*gemm")
    message(FATAL_ERROR "a program of pleat::kernels has compiled the matrix product itself (link without it: ${code}):\n${said}")
  endif()
endif()
foreach(program IN LISTS programs)
  execute_process(COMMAND ${program} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
