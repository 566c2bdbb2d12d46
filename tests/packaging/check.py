# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The package descriptions say the same version and are well formed: check.py SOURCE VERSION."""
import ast
import importlib.util
import json
import pathlib
import re
import sys
import types

source, version = pathlib.Path(sys.argv[1]), sys.argv[2]
wrong = []


def demand(condition, words):
    if not condition:
        wrong.append(words)


# --- vcpkg: the rules of its manifest schema that these manifests can break
NAME = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
MANIFEST = {"$schema", "name", "version", "version-semver", "port-version", "description", "homepage", "license", "supports",
            "dependencies", "features", "default-features"}
DEPENDENCY = {"name", "host", "features", "default-features", "platform", "version>="}


def check_dependency(where, entry, known):
    if isinstance(entry, str):
        entry = {"name": entry}
    demand(not set(entry) - DEPENDENCY, f"{where}: unknown keys {set(entry) - DEPENDENCY}")
    demand(NAME.match(entry.get("name", "")), f"{where}: {entry} has no lower-case name")
    for feature in entry.get("features", []):
        if entry["name"] in known:
            demand(feature in known[entry["name"]].get("features", {}), f"{where}: port {entry['name']} has no feature {feature}")


manifests = {p.parent.name: json.loads(p.read_text()) for p in (source / "packaging/vcpkg/ports").glob("*/vcpkg.json")}
example = json.loads((source / "packaging/vcpkg/example/vcpkg.json").read_text())
for folder, manifest in [*manifests.items(), ("example", example)]:
    demand(not set(manifest) - MANIFEST, f"{folder}: unknown keys {set(manifest) - MANIFEST}")
    demand(NAME.match(manifest["name"]), f"{folder}: bad name")
    demand(folder == "example" or manifest["name"] == folder, f"{folder}: the port's name is not its folder's")
    demand(("version" in manifest) != ("version-semver" in manifest), f"{folder}: exactly one version field")
    for entry in manifest.get("dependencies", []):
        check_dependency(folder, entry, manifests)
    for name, feature in manifest.get("features", {}).items():
        demand(NAME.match(name) and feature.get("description"), f"{folder}: feature {name} needs a description")
        for entry in feature.get("dependencies", []):
            check_dependency(f"{folder}[{name}]", entry, manifests)
    if folder != "example":
        for file in ("portfile.cmake", "usage"):
            demand((source / "packaging/vcpkg/ports" / folder / file).exists(), f"{folder}: no {file}")
demand(manifests["pleat"]["version-semver"] == version, f"vcpkg says version {manifests['pleat']['version-semver']}, not {version}")
configuration = json.loads((source / "packaging/vcpkg/example/vcpkg-configuration.json").read_text())
for folder in configuration["overlay-ports"]:
    demand((source / "packaging/vcpkg/example" / folder / "pleat/vcpkg.json").exists(), f"overlay folder {folder} has no pleat")
kokkos_hash = re.search(r'sha256: "([0-9a-f]{64})"', (source / "packaging/conan/kokkos/conandata.yml").read_text()).group(1)
for file in ("packaging/vcpkg/ports/kokkos/portfile.cmake", "scripts/setup.sh"):
    demand(kokkos_hash in (source / file).read_text(), f"{file} pins another Kokkos than packaging/conan/kokkos")

# --- Spack: the class body runs under a module that records the directives
record = []
directives = ("license version variant depends_on conflicts requires generator maintainers patch").split()
package = types.ModuleType("spack.package")
for directive in directives:
    setattr(package, directive, lambda *a, _d=directive, **k: record.append((_d, a, k)))
package.__all__ = directives
stand_ins = {"spack": types.ModuleType("spack"), "spack.package": package}
for name in ("spack_repo", "spack_repo.builtin", "spack_repo.builtin.build_systems", "spack_repo.builtin.build_systems.cmake",
             "spack_repo.builtin.build_systems.cuda"):
    stand_ins[name] = types.ModuleType(name)


class Base:
    def define(self, name, value):
        return f"-D{name}={value}"

    def define_from_variant(self, name, variant):
        demand(any(d == "variant" and a[0] == variant for d, a, _ in record), f"spack: {name} follows a variant that is not there: {variant}")
        return f"-D{name}=variant"


stand_ins["spack_repo.builtin.build_systems.cmake"].CMakePackage = Base
stand_ins["spack_repo.builtin.build_systems.cuda"].CudaPackage = type("CudaPackage", (), {"cuda_arch_values": ("80", "90")})
sys.modules.update(stand_ins)
path = source / "packaging/spack/package.py"
ast.parse(path.read_text())
spec = importlib.util.spec_from_file_location("pleat_spack", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
made = module.Pleat()
made.spec = types.SimpleNamespace(satisfies=lambda what: False)
arguments = made.cmake_args()
options = set(re.findall(r"option\((PLEAT_\w+)", (source / "CMakeLists.txt").read_text()))
for argument in arguments:
    name = argument[2:].split("=")[0]
    demand(name in options, f"spack: CMakeLists.txt has no option {name}")
demand(any(d == "version" and a[0] == version for d, a, _ in record), f"spack has no version {version}")
# Spack fetches a version from `url` with a checksum, or from `git`, of the version or of the package. Without any of them the page has to
# say what can be done instead, and may not promise an installation.
page = (source / "docs/packaging.md").read_text()
fetched = any(getattr(module.Pleat, where, None) for where in ("url", "git"))
for a, k in [(a, k) for d, a, k in record if d == "version"]:
    if not (k.get("git") or (k.get("sha256") and (k.get("url") or fetched)) or (fetched and {"branch", "commit", "tag"} & set(k))):
        demand(f"spack dev-build pleat@{a[0]}" in page, f"spack: version {a[0]} has no source, and docs/packaging.md does not say dev-build")
        demand(not re.search(r"^spack install pleat", page, re.M), f"docs/packaging.md installs pleat, whose version {a[0]} has no source")
demand(any(d == "depends_on" and a[0].startswith("kokkos@4.7:5") for d, a, _ in record), "spack: Kokkos must be bounded, 4.7 up to 5")

for words in wrong:
    print("---", words)
print(f"{len(manifests) + 1} vcpkg manifests, {len(record)} Spack directives, {len(wrong)} faults")
sys.exit(1 if wrong else 0)
