# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The library: interface targets only. They carry no warning flags and no compiler options.
include(${CMAKE_CURRENT_LIST_DIR}/pleat_dependencies.cmake)

file(GLOB_RECURSE pleat_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/pleat/*.hpp)

set(pleat_components core)
pleat_need_core()
if(NOT pleat_core_FOUND)
  message(FATAL_ERROR "pleat: ${pleat_core_WHY}")
endif()

add_library(pleat_core INTERFACE)
target_compile_features(pleat_core INTERFACE cxx_std_20)
target_sources(pleat_core INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${pleat_headers})
target_link_libraries(pleat_core INTERFACE Kokkos::kokkos)

foreach(pleat_component IN ITEMS mpi thrust io)
  string(TOUPPER PLEAT_${pleat_component} pleat_switch)
  if(${pleat_switch})
    cmake_language(CALL pleat_need_${pleat_component})
  else()
    set(pleat_${pleat_component}_FOUND FALSE)
    set(pleat_${pleat_component}_WHY "switched off; turn it on by -D${pleat_switch}=ON")
  endif()
  if(pleat_${pleat_component}_FOUND)
    add_library(pleat_${pleat_component} INTERFACE)
    target_link_libraries(pleat_${pleat_component} INTERFACE pleat_core)
    list(APPEND pleat_components ${pleat_component})
  endif()
endforeach()

# The macros decide only what the umbrella includes by default; no type and no body depends on them.
if(TARGET pleat_mpi)
  target_link_libraries(pleat_mpi INTERFACE MPI::MPI_CXX)
  target_compile_definitions(pleat_mpi INTERFACE PLEAT_HAS_MPI)
endif()
if(TARGET pleat_thrust)
  target_link_libraries(pleat_thrust INTERFACE pleat_thrust_backend)
endif()
if(TARGET pleat_io)
  target_link_libraries(pleat_io INTERFACE ZLIB::ZLIB)
  target_compile_definitions(pleat_io INTERFACE PLEAT_HAS_ZLIB)
endif()

add_library(pleat_pleat INTERFACE)
foreach(pleat_component IN LISTS pleat_components)
  add_library(pleat::${pleat_component} ALIAS pleat_${pleat_component})
  set_target_properties(pleat_${pleat_component} PROPERTIES EXPORT_NAME ${pleat_component})
  target_link_libraries(pleat_pleat INTERFACE pleat_${pleat_component})
endforeach()
# Whose pleat::pleat it is and what it has; the package file asks, where another folder of the project looks for pleat.
set_target_properties(pleat_pleat PROPERTIES EXPORT_NAME pleat PLEAT_FOLDER ${PROJECT_SOURCE_DIR} PLEAT_COMPONENTS "${pleat_components}")
add_library(pleat::pleat ALIAS pleat_pleat)
