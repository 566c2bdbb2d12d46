# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kokkos for Conan 2, until a registry has it.

    conan create packaging/conan/kokkos                                              builds the pinned release
    conan create packaging/conan/kokkos --version 5.2.2 -o "kokkos/*:system=True"    takes the Kokkos that CMake finds here
"""
import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, get, save

required_conan_version = ">=2.5"


class KokkosConan(ConanFile):
    name = "kokkos"
    description = "C++ performance portability programming model"
    license = "Apache-2.0 WITH LLVM-exception"
    homepage = "https://github.com/kokkos/kokkos"
    settings = "os", "arch", "compiler", "build_type"
    options = {"system": [True, False], "openmp": [True, False], "cuda": [True, False], "shared": [True, False]}
    default_options = {"system": False, "openmp": True, "cuda": False, "shared": False}
    package_type = "library"

    def set_version(self):
        self.version = self.version or "5.0.0"

    def configure(self):
        if self.options.system:
            for name in ("openmp", "cuda"):  # the installed one has what it has
                self.options.rm_safe(name)

    def validate(self):
        if not self.options.system and self.version not in self.conan_data["sources"]:
            known = ", ".join(self.conan_data["sources"])
            raise ConanInvalidConfiguration(f"no source of Kokkos {self.version} is known here (known: {known}); -o 'kokkos/*:system=True' takes an installed one")

    def layout(self):
        cmake_layout(self)

    def package_id(self):
        if self.info.options.system:
            self.info.settings.clear()

    def source(self):
        pass  # the sources depend on an option: see build()

    def generate(self):
        toolchain = CMakeToolchain(self)
        if not self.options.system:
            toolchain.cache_variables["CMAKE_CXX_STANDARD"] = "20"
            toolchain.cache_variables["Kokkos_ENABLE_SERIAL"] = True
            toolchain.cache_variables["Kokkos_ENABLE_OPENMP"] = bool(self.options.openmp)
            toolchain.cache_variables["Kokkos_ENABLE_CUDA"] = bool(self.options.cuda)
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        if self.options.system:
            # The same question that a consumer will ask.
            save(self, os.path.join(self.source_folder, "CMakeLists.txt"),
                 "cmake_minimum_required(VERSION 3.22)\nproject(probe LANGUAGES CXX)\n"
                 f"find_package(Kokkos {self.version}...<6 CONFIG REQUIRED)\n")
            cmake.configure()
            return
        get(self, **self.conan_data["sources"][self.version], destination=self.source_folder, strip_root=True)
        cmake.configure()
        cmake.build()

    def package(self):
        if self.options.system:
            save(self, os.path.join(self.package_folder, "licenses", "README"), "The installed Kokkos of this machine is used.\n")
            return
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):
        # Kokkos' own package file knows its devices, options and compile rules; nothing generated could replace it.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        if not self.options.system:
            self.cpp_info.builddirs = [os.path.join("lib", "cmake", "Kokkos"), os.path.join("lib64", "cmake", "Kokkos")]
