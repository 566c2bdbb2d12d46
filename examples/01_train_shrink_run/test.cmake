# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The main job under test: the promise of the tutorial, equal bytes on any number of ranks, kill and resume, bad input.
find_package(Python3 3.8 COMPONENTS Interpreter QUIET)
set(launcher "")
if(TARGET pleat::mpi)
  set(launcher "${MPIEXEC_EXECUTABLE} ${pleat_mpi_flags} ${MPIEXEC_NUMPROC_FLAG}")
endif()
list(JOIN launcher " " launcher)
foreach(what IN ITEMS promise same_bytes kill_and_resume dead_rank bad_input)
  add_test(NAME examples/train_shrink_run.${what}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/check.py ${what} $<TARGET_FILE:train_shrink_run> ${CMAKE_CURRENT_BINARY_DIR}/check_${what} "${launcher}")
  set_tests_properties(examples/train_shrink_run.${what} PROPERTIES TIMEOUT 300 LABELS examples ENVIRONMENT "${pleat_test_environment}" PROCESSORS 2)
endforeach()
