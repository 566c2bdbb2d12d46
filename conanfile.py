# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Conan 2 recipe of pleat. No registry has Kokkos: create packaging/conan/kokkos first (docs/packaging.md)."""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir
from conan.tools.scm import Version

required_conan_version = ">=2.5"


class PleatConan(ConanFile):
    name = "pleat"
    description = "Train, shrink and run neural networks on any number of processes"
    license = "Apache-2.0 WITH LLVM-exception"
    topics = ("machine-learning", "hpc", "kokkos", "mpi", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    # MPI and Thrust are the machine's own: a packaged MPI does not know a cluster's network, and Thrust comes with CUDA.
    options = {"with_mpi": [True, False], "with_thrust": [True, False]}
    default_options = {"with_mpi": True, "with_thrust": False}
    exports_sources = "CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "kernels/*.cpp"

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "include/pleat/base/config.hpp"))
        parts = [re.search(rf"define PLEAT_VERSION_{part} (\d+)", text).group(1) for part in ("MAJOR", "MINOR", "PATCH")]
        self.version = ".".join(parts)

    def layout(self):
        cmake_layout(self)

    def requirements(self):
        self.requires("kokkos/[>=4.7 <6]", transitive_headers=True, transitive_libs=True)
        self.requires("zlib/[>=1.2.11 <2]", transitive_headers=True, transitive_libs=True)

    def validate(self):
        check_min_cppstd(self, 20)
        least = {"gcc": "12", "clang": "16"}.get(str(self.settings.compiler))
        if least and Version(self.settings.compiler.version) < least:
            raise ConanInvalidConfiguration(f"pleat needs {self.settings.compiler} {least} or newer")

    def package_id(self):
        # Headers are the same everywhere; which components the package promises depends on the options.
        self.info.settings.clear()

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        for part in ("TESTS", "EXAMPLES", "BENCHMARKS"):
            toolchain.cache_variables[f"PLEAT_{part}"] = False
        toolchain.cache_variables["PLEAT_INSTALL"] = True
        toolchain.cache_variables["PLEAT_MPI"] = bool(self.options.with_mpi)
        toolchain.cache_variables["PLEAT_THRUST"] = bool(self.options.with_thrust)
        toolchain.generate()

    def build(self):
        CMake(self).configure()  # finds out which components there are; there is nothing to compile: who asks for pleat::kernels compiles them

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        rmdir(self, os.path.join(self.package_folder, "share", "doc"))

    def package_info(self):
        # pleat's own package file is the one truth about its targets and components; Conan only says where it lies.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = [os.path.join("share", "cmake", "pleat")]
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
