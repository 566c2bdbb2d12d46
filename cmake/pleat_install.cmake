# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Everything is a header or a source, so the package goes to share/ and is the same on every architecture.
include(CMakePackageConfigHelpers)
set(pleat_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/pleat)

# One export file per component: a consumer that wants only the core needs no MPI on its machine.
foreach(pleat_component IN LISTS pleat_components)
  install(TARGETS pleat_${pleat_component} EXPORT pleat-${pleat_component}-targets
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT pleat-${pleat_component}-targets NAMESPACE pleat:: DESTINATION ${pleat_package_dir})
endforeach()

# Sources of pleat::kernels, beside the package file, which finds them wherever a packager moves its folder.
set(pleat_kernel_names ${pleat_kernel_sources})
list(TRANSFORM pleat_kernel_names REPLACE ".*/" "")
install(FILES ${pleat_kernel_sources} DESTINATION ${pleat_package_dir}/kernels)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/pleat-config.cmake.in
  ${PROJECT_BINARY_DIR}/package/pleat-config.cmake INSTALL_DESTINATION ${pleat_package_dir}
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/pleat-config-version.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/package/pleat-config.cmake ${PROJECT_BINARY_DIR}/package/pleat-config-version.cmake
  ${PROJECT_SOURCE_DIR}/cmake/pleat_dependencies.cmake ${PROJECT_SOURCE_DIR}/cmake/pleat_kernels.cmake
  DESTINATION ${pleat_package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/pleat)
