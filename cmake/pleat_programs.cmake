# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# What our own tests, benchmarks and examples share; nothing of it reaches a user.

find_package(Threads REQUIRED)

# Warnings live here, not on the library's targets.
add_library(pleat_dev INTERFACE)
target_compile_options(pleat_dev INTERFACE
  $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:-Wall -Wextra -Wpedantic>
  # The compiler's garbage collector costs up to a fifth of a source's front end; let it wait until there is something to collect.
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:--param=ggc-min-expand=100;--param=ggc-min-heapsize=524288>
  $<$<AND:$<BOOL:${PLEAT_WERROR}>,$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>>:-Werror>)

# Examples write and tests read JSON with it; the library has a writer and a reader of its own.
find_package(nlohmann_json 3.10 CONFIG QUIET)
if(nlohmann_json_FOUND)
  target_link_libraries(pleat_dev INTERFACE nlohmann_json::nlohmann_json)
endif()

# pleat_unoptimised is for what takes long to compile and runs for a moment: command lines, tests of whole models.
# pleat_lightly_optimised is for programs whose loops are, but for few, instances of pleat::kernels, which are optimised as the build
# is: what such a program compiles itself is calls.
set(pleat_unoptimised "")
set(pleat_lightly_optimised "")
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang" AND NOT Kokkos_COMPILE_LANGUAGE STREQUAL "CUDA")
  set(pleat_unoptimised -O0)
  set(pleat_lightly_optimised $<$<CONFIG:Release>:-O1>)
endif()

# Under the address sanitizer a program unloads nothing (tests/support/keep_loaded.cpp), or leaks of Open MPI's plug-ins have no name.
string(TOUPPER "${CMAKE_BUILD_TYPE}" pleat_config)
if("${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${pleat_config}}" MATCHES "-fsanitize=[a-z,-]*address")
  add_library(pleat_keep_loaded OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/support/keep_loaded.cpp)
endif()
function(pleat_keep_plugins target)
  if(TARGET pleat_keep_loaded)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:pleat_keep_loaded>)
  endif()
endfunction()

# Our programs link pleat::kernels (pleat_kernels.cmake).
if(TARGET pleat_kernels)
  target_link_libraries(pleat_kernels PRIVATE pleat_dev)

  # The umbrella, parsed once for all programs that include it.
  add_library(pleat_umbrella OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/kernels/umbrella/umbrella.cpp)
  target_link_libraries(pleat_umbrella PRIVATE pleat::pleat pleat_dev)
  target_compile_definitions(pleat_umbrella PRIVATE PLEAT_ONCE_ELSEWHERE)
  target_precompile_headers(pleat_umbrella PRIVATE ${PROJECT_SOURCE_DIR}/kernels/umbrella/umbrella.hpp)
  pleat_set_language(pleat_umbrella)
endif()

# Sets a variable to UMBRELLA where one of the sources includes the umbrella, to nothing elsewhere.
function(pleat_find_umbrella variable)
  set(${variable} "" PARENT_SCOPE)
  foreach(source IN LISTS ARGN)
    file(STRINGS ${source} umbrella REGEX "^#include <pleat/pleat\\.hpp>" LIMIT_COUNT 1)
    if(umbrella)
      set(${variable} UMBRELLA PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

# pleat_program(NAME [UMBRELLA] SOURCES ... LIBRARIES ...): one program in bin/, with our warnings and everything of pleat that was found.
# UMBRELLA: its sources include pleat/pleat.hpp, and take it precompiled.
function(pleat_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "UMBRELLA" "" "SOURCES;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  if(arg_UMBRELLA)
    target_link_libraries(${name} PRIVATE pleat::pleat $<LINK_ONLY:pleat_kernels> pleat_dev ${arg_LIBRARIES})
    target_compile_definitions(${name} PRIVATE PLEAT_ONCE_ELSEWHERE)
    target_precompile_headers(${name} REUSE_FROM pleat_umbrella)
  else()
    # The forced include says to sources that include some headers only which instances there are.
    target_link_libraries(${name} PRIVATE pleat::kernels pleat_dev ${arg_LIBRARIES})
    target_compile_options(${name} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include pleat/compute/instances.hpp>")
  endif()
  pleat_set_language(${name})
  pleat_keep_plugins(${name})
endfunction()

# How ranks are started under test. Root and oversubscription are a container's affair: in the tests' environment only.
if(TARGET pleat::mpi)
  execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE pleat_mpiexec_version ERROR_QUIET)
  if(pleat_mpiexec_version MATCHES "^HYDRA[^\n]*\n *Version: *([^ \n]+)")  # MPICH's has its version in the second line
    set(pleat_mpiexec_version "mpiexec (HYDRA) ${CMAKE_MATCH_1}")
  endif()
  string(REGEX MATCH "[^\n]+" pleat_mpiexec_version "${pleat_mpiexec_version}")
  set(pleat_mpi_flags "")
  if(pleat_mpiexec_version MATCHES "Open MPI|OpenRTE|PRTE|prte")
    set(pleat_mpi_flags --oversubscribe --bind-to none)
  endif()
endif()
set(pleat_test_environment
  PLEAT_SOURCE_DIR=${PROJECT_SOURCE_DIR}
  OMP_PROC_BIND=false OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
  OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_base_warn_component_unused=0
  LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0
  # Kokkos asks for what may not be there, and tests see to it: refusing is no finding.
  ASAN_OPTIONS=allocator_may_return_null=1
  UBSAN_OPTIONS=print_stacktrace=1)
# Peers of our files (scripts/python_venv.sh); a PLEAT_PYTHON of the caller's own goes first.
if(NOT DEFINED ENV{PLEAT_PYTHON} AND EXISTS ${PROJECT_SOURCE_DIR}/build/venv/bin/python)
  list(APPEND pleat_test_environment PLEAT_PYTHON=${PROJECT_SOURCE_DIR}/build/venv/bin/python)
endif()
list(JOIN pleat_test_environment ";" pleat_test_environment)

# pleat_rank_test(NAME RANKS n COMMAND program args... [TIMEOUT s]): a test on n MPI ranks, one thread each.
function(pleat_rank_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "RANKS;TIMEOUT" "COMMAND;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 180)
  endif()
  add_test(NAME ${name}
    COMMAND ${MPIEXEC_EXECUTABLE} ${pleat_mpi_flags} ${MPIEXEC_NUMPROC_FLAG} ${arg_RANKS} ${arg_COMMAND})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_RANKS} LABELS "mpi;${arg_LABELS}"
    SKIP_RETURN_CODE 4 ENVIRONMENT "${pleat_test_environment};OMP_NUM_THREADS=1")
endfunction()
