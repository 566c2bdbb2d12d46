# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The optional target pleat::kernels: the instances that programs share, so that each compiles its own types, not matrix products.
# Its sources are compiled in the build of whoever asks, with that build's compiler, flags, Kokkos and MPI: nothing compiled is
# ever installed. Read by the build of pleat and, installed, by the build of whoever asks for COMPONENTS kernels.

# A Kokkos with CUDA or HIP may want its users' sources compiled as that language; follow what it was built with.
function(pleat_set_language target)
  if(Kokkos_COMPILE_LANGUAGE AND NOT Kokkos_COMPILE_LANGUAGE STREQUAL "CXX")
    get_target_property(sources ${target} SOURCES)
    set_source_files_properties(${sources} PROPERTIES LANGUAGE ${Kokkos_COMPILE_LANGUAGE})
  endif()
endfunction()

# Needs pleat_io_FOUND and pleat_io_WHY, as pleat_need_io() or the switch PLEAT_IO leave them.
macro(pleat_need_kernels)
  set(pleat_kernels_FOUND FALSE)
  if(NOT pleat_io_FOUND)
    set(pleat_kernels_WHY "the rooms run and compress are compiled there, and they need the component io: ${pleat_io_WHY}")
  elseif(Kokkos_COMPILE_LANGUAGE AND NOT CMAKE_${Kokkos_COMPILE_LANGUAGE}_COMPILER)
    set(pleat_kernels_WHY "this Kokkos (${Kokkos_DIR}) wants its users' sources compiled as ${Kokkos_COMPILE_LANGUAGE}: write enable_language(${Kokkos_COMPILE_LANGUAGE}) before")
  else()
    set(pleat_kernels_FOUND TRUE)
  endif()
endmacro()

# pleat_add_kernels(SOURCE...): built only where something links it. There is one of it in a project, for what pleat::pleat is in
# the folder that asks first: another folder may ask again if it has found the same components.
function(pleat_add_kernels)
  get_target_property(components pleat::pleat PLEAT_COMPONENTS)
  list(SORT components)
  list(JOIN components ", " components)
  get_target_property(folder pleat::pleat PLEAT_FOLDER)
  if(TARGET pleat_kernels)
    get_target_property(first_folder pleat_kernels PLEAT_FOLDER)
    get_target_property(first_components pleat_kernels PLEAT_COMPONENTS)
    if(NOT folder STREQUAL first_folder AND NOT components STREQUAL first_components)
      message(FATAL_ERROR "pleat: there is a pleat::kernels already, of ${first_folder}, for the components ${first_components}; "
        "here they are ${components}. Name the same components in both folders, or ask once, in one above them")
    endif()
    if(folder STREQUAL first_folder)  # which may have asked for more since
      set_target_properties(pleat_kernels PROPERTIES PLEAT_COMPONENTS "${components}")
    endif()
    return()
  endif()
  add_library(pleat_kernels STATIC EXCLUDE_FROM_ALL ${ARGN})
  add_library(pleat::kernels ALIAS pleat_kernels)
  target_link_libraries(pleat_kernels PUBLIC pleat::pleat)
  target_compile_definitions(pleat_kernels PUBLIC PLEAT_ONCE_ELSEWHERE)
  # What a project may have turned on for its own sources: these define macros, so they cannot be joined to one; they hold no
  # modules; and nobody wants to hear a linter about them.
  set_target_properties(pleat_kernels PROPERTIES UNITY_BUILD OFF CXX_SCAN_FOR_MODULES OFF
    CXX_CLANG_TIDY "" CXX_CPPCHECK "" CXX_CPPLINT "" CXX_INCLUDE_WHAT_YOU_USE "")
  set_target_properties(pleat_kernels PROPERTIES PLEAT_COMPONENTS "${components}" PLEAT_FOLDER ${folder})
  pleat_set_language(pleat_kernels)
endfunction()
