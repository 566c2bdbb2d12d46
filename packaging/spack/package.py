# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Spack package of pleat. For `spack dev-build`; see docs/packaging.md."""
from spack_repo.builtin.build_systems.cmake import CMakePackage
from spack_repo.builtin.build_systems.cuda import CudaPackage

from spack.package import *


class Pleat(CMakePackage, CudaPackage):
    """Header-only C++20 library that trains, shrinks and runs neural networks on any number of processes."""

    license("Apache-2.0 WITH LLVM-exception")

    # Nothing to fetch it from yet: `spack dev-build pleat@0.1.0` in the tree. A release adds url= and sha256=.
    version("0.1.0")

    variant("mpi", default=True, description="Ranks as MPI processes")
    variant("openmp", default=True, description="Kokkos with OpenMP")
    variant("thrust", default=False, description="Sorting and scans by the CUDA Toolkit's Thrust")
    variant("tests", default=False, description="Build the tests")

    depends_on("cxx", type="build")
    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    generator("ninja")

    # Headers only: what a user compiles against must be there at the user's build, so all of these are link dependencies.
    depends_on("kokkos@4.7:5 cxxstd=20")
    depends_on("kokkos +openmp", when="+openmp")
    depends_on("mpi", when="+mpi")
    depends_on("zlib-api")
    depends_on("nlohmann-json@3.10:", type="build", when="+tests")
    depends_on("cuda@12.2:", when="+thrust")
    depends_on("catch2@3.4:", type="build", when="+tests")

    for arch in CudaPackage.cuda_arch_values:
        depends_on(f"kokkos@4.7.01: +cuda cuda_arch={arch}", when=f"+cuda cuda_arch={arch}")
    requires("^kokkos +wrapper", when="+cuda %gcc", msg="a Kokkos with CUDA and GCC needs its nvcc wrapper")

    conflicts("%gcc@:11", msg="C++20 as pleat uses it needs GCC 12")
    conflicts("%clang@:15", msg="C++20 as pleat uses it needs Clang 16")

    def cmake_args(self):
        args = [
            self.define_from_variant("PLEAT_MPI", "mpi"),
            self.define_from_variant("PLEAT_THRUST", "thrust"),
            self.define_from_variant("PLEAT_TESTS", "tests"),
            self.define("PLEAT_EXAMPLES", False),
            self.define("PLEAT_BENCHMARKS", False),
            self.define("PLEAT_INSTALL", True),
        ]
        if self.spec.satisfies("+cuda"):
            args.append(self.define("CMAKE_CXX_COMPILER", self["kokkos"].kokkos_cxx))
        return args
