# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# One program, several meshes; a mesh that does not fit is refused with the nearest that does.
foreach(case IN ITEMS "1:data=1,tensor=1" "2:data=2" "3:tensor=3" "6:data=*,tensor=3" "4:pipeline=2,tensor=2" "8:tensor=2,pipeline=2,data=2" "8:data=2,tensor=2,pipeline=2,order=tensor.data.pipeline")
  string(REGEX REPLACE ":.*" "" ranks "${case}")
  string(REGEX REPLACE ".*:" "" text "${case}")
  string(REGEX REPLACE "[^0-9a-z]+" "_" name "${text}")
  add_test(NAME examples/mesh.${ranks}.${name} COMMAND mesh --thread-ranks ${ranks} --threads 1 ${text})
  set_tests_properties(examples/mesh.${ranks}.${name} PROPERTIES TIMEOUT 120 LABELS examples PASS_REGULAR_EXPRESSION "parameters on rank 0, test error")
endforeach()
function(pleat_mesh_says name words)
  add_test(NAME examples/mesh.${name} COMMAND mesh --thread-ranks 4 --threads 1 ${ARGN})
  set_tests_properties(examples/mesh.${name} PROPERTIES TIMEOUT 60 LABELS examples PASS_REGULAR_EXPRESSION "${words}")
endfunction()
pleat_mesh_says(refused "has 6 ranks, there are 4.*The nearest that fits is" data=3,tensor=2)
pleat_mesh_says(order "1 of 2 axes are named. Name each of data, tensor once" data=2,tensor=2,order=tensor)
pleat_mesh_says(axis "a model has no axis 'expert'" data=2,expert=2)
pleat_mesh_says(help "pipeline=c" --help)
pleat_mesh_says(left_over "nobody takes the argument 'nonsense'. Say mesh .*pipeline=c" data=2 nonsense)
