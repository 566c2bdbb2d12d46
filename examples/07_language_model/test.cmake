# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The language model under test: it learns, it gives the same bits wherever data and layers are, it survives kill -9, it writes text, it
# refuses in words.
find_package(Python3 3.8 COMPONENTS Interpreter QUIET)
set(launcher "")
if(TARGET pleat::mpi)
  set(launcher "${MPIEXEC_EXECUTABLE} ${pleat_mpi_flags} ${MPIEXEC_NUMPROC_FLAG}")
endif()
list(JOIN launcher " " launcher)
foreach(what IN ITEMS learns same_bits meshes precisions kill_and_resume samples bad_input shakespeare)
  add_test(NAME examples/language_model.${what}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/check.py ${what} $<TARGET_FILE:train_gpt> $<TARGET_FILE:sample> ${CMAKE_CURRENT_BINARY_DIR}/check_${what} "${launcher}")
  set_tests_properties(examples/language_model.${what} PROPERTIES TIMEOUT 300 LABELS examples SKIP_RETURN_CODE 4 ENVIRONMENT "${pleat_test_environment}" PROCESSORS 2)
endforeach()
