# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The program on the shipped digits: what it leaves, the same bytes on any number of ranks, bad input.
find_package(Python3 3.8 COMPONENTS Interpreter QUIET)
set(launcher "")
if(TARGET pleat::mpi)
  set(launcher "${MPIEXEC_EXECUTABLE} ${pleat_mpi_flags} ${MPIEXEC_NUMPROC_FLAG}")
endif()
list(JOIN launcher " " launcher)
foreach(what IN ITEMS promise same_bytes bad_input)
  add_test(NAME examples/distill.${what}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/check.py ${what} $<TARGET_FILE:distill> ${CMAKE_CURRENT_BINARY_DIR}/check_${what} "${launcher}")
  set_tests_properties(examples/distill.${what} PROPERTIES TIMEOUT 300 LABELS examples ENVIRONMENT "${pleat_test_environment}" PROCESSORS 2)
endforeach()
