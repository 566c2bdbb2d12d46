# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# One program, several meshes; a mesh that does not fit is refused with the nearest that does.
foreach(case IN ITEMS "1:data=1,tensor=1" "4:data=2,tensor=2" "3:data=1,tensor=3" "6:data=*,tensor=3")
  string(REGEX REPLACE ":.*" "" ranks "${case}")
  string(REGEX REPLACE ".*:" "" text "${case}")
  string(REGEX REPLACE "[^0-9a-z]+" "_" name "${text}")
  add_test(NAME examples/mesh.${ranks}.${name} COMMAND mesh --thread-ranks ${ranks} --threads 1 ${text})
  set_tests_properties(examples/mesh.${ranks}.${name} PROPERTIES TIMEOUT 120 LABELS examples PASS_REGULAR_EXPRESSION "parameters on rank 0, test error")
endforeach()
add_test(NAME examples/mesh.refused COMMAND mesh --thread-ranks 4 --threads 1 data=3,tensor=2)
set_tests_properties(examples/mesh.refused PROPERTIES TIMEOUT 60 LABELS examples PASS_REGULAR_EXPRESSION "has 6 ranks, there are 4.*The nearest that fits is")
