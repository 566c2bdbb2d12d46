# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Overlay port until vcpkg has one. The release's SHA-256 is the published one; vcpkg's own download helper wants SHA-512, so
# the archive is fetched by CMake itself, into vcpkg's download folder.
vcpkg_check_linkage(ONLY_STATIC_LIBRARY)
set(archive "${DOWNLOADS}/kokkos-${VERSION}.tar.gz")
file(DOWNLOAD "https://github.com/kokkos/kokkos/releases/download/${VERSION}/kokkos-${VERSION}.tar.gz" "${archive}"
  EXPECTED_HASH SHA256=c45f3e19c3eb71fc8b7210cb04cac658015fc1839e7cc0571f7406588ff9bcef
  INACTIVITY_TIMEOUT 30)
vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${archive}")

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS FEATURES
  openmp Kokkos_ENABLE_OPENMP
  cuda Kokkos_ENABLE_CUDA
)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    ${FEATURE_OPTIONS}
    -DKokkos_ENABLE_SERIAL=ON
    -DCMAKE_CXX_STANDARD=20
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME Kokkos CONFIG_PATH lib/cmake/Kokkos)
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/bin" "${CURRENT_PACKAGES_DIR}/debug/bin")

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
