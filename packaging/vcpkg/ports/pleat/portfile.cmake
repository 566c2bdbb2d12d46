# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# An overlay port in pleat's own tree: the source is that tree, or the archive that PLEAT_ARCHIVE names.
set(VCPKG_BUILD_TYPE release) # headers, and sources that their users compile

if(DEFINED ENV{PLEAT_ARCHIVE})
  vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "$ENV{PLEAT_ARCHIVE}")
else()
  get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)
endif()

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS FEATURES
  mpi PLEAT_MPI
  cuda PLEAT_THRUST
)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    ${FEATURE_OPTIONS}
    -DPLEAT_TESTS=OFF
    -DPLEAT_EXAMPLES=OFF
    -DPLEAT_BENCHMARKS=OFF
    -DPLEAT_INSTALL=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/pleat)
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/lib" "${CURRENT_PACKAGES_DIR}/share/doc")

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
