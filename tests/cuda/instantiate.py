# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the lines that instantiate a room's templates for Kokkos::Cuda, so that nobody keeps a list.

    instantiate.py INCLUDE ROOM

compute: the address of every function template at namespace scope whose first parameter is a Space, in float and double where
         it has a T. A template parameter of a name that is not in NAMES is an error that says what to do.
codec:   linear and conv2d over the set of all forms.
nn:      every class template whose parameters all have defaults (their default space is Kokkos::Cuda here).
The other rooms are instantiated by examples/, which are compiled as a further file.
"""
import pathlib
import re
import sys

# What stands for a template parameter, by its name. None: two values, float and double.
NAMES = {
    "Space": "Kokkos::Cuda", "T": None, "K": None, "S": "float", "R": "double", "V": "std::int64_t", "Index": "std::int64_t",
    "Keep": "pleat::compute::keep_mask", "Predicate": "pleat_test::is_positive", "Unary": "pleat_test::is_positive",
}
# Functions that only pass a functor on: whoever hands it one instantiates them.
PASSED_ON = {"Op", "Body", "Store", "F", "Task", "Bin", "Key", "Work"}
PRELUDE = """#include <cstdint>
namespace pleat_test {
struct is_positive {
  template <class T> PLEAT_FUNCTION bool operator()(T const& x) const { return x > T(0); }
};
}  // namespace pleat_test
"""


def namespace_scope(text):
    """The text without what lies in a detail namespace and without comments."""
    text = re.sub(r"//[^\n]*", lambda m: m.group(0) if m.group(0).startswith("//  namespace") else "", text)
    out, depth, skip = [], 0, None
    for line in text.split("\n"):
        opens = re.match(r"\s*(?:inline )?namespace ([\w:]*) *\{", line)
        if skip is None and opens and "detail" in opens.group(1).split("::"):
            skip = depth
        depth += line.count("{") - line.count("}")
        if skip is None:
            out.append(line)
        elif depth <= skip:
            skip = None
    return "\n".join(out)


def arguments_of(text, at):
    """The text between the bracket at `at` and its partner."""
    depth, end = 0, at
    while True:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[at + 1:end]
        end += 1


def functions(include, room):
    """name -> [(template parameters, return type, function parameters without defaults, file)], one per overload"""
    found = {}
    for path in sorted((include / "pleat" / room).glob("*.hpp")):
        text = namespace_scope(path.read_text())
        for match in re.finditer(r"template <([^<>]*)>\s+(?:requires [^\n]*\n)?((?:\[\[nodiscard\]\] |inline |constexpr |PLEAT_\w+ )*)"
                                 r"([\w:<>,*& ]+?[ \n&*])(\w+)\((?=\s*Space const& \w+)", text):
            parameters = [p.strip().split("=")[0].split()[-1] for p in match.group(1).split(",")]
            given = re.sub(r"\s*=\s*[^,]*", "", " ".join(arguments_of(text, match.end() - 1).split()))
            entry = (parameters, match.group(3).strip(), given, path.name)
            overloads = found.setdefault(match.group(4), [])
            if all(o[2] != given for o in overloads):
                overloads.append(entry)
    return found


def compute(include, room):
    lines, passed = [], []
    for name, overloads in functions(include, room).items():
        for parameters, returns, given, file in overloads:
            if any(p in PASSED_ON for p in parameters):
                passed.append(name)
                continue
            unknown = [p for p in parameters if p not in NAMES]
            if unknown:
                sys.exit(f"instantiate.py: pleat/{room}/{file}: {name} has the template parameter {unknown[0]}; say in tests/cuda/"
                         f"instantiate.py (NAMES) what stands for it, or (PASSED_ON) that its callers instantiate it")
            for value in ("float", "double") if any(NAMES[p] is None for p in parameters) else ("",):
                stands = {p: NAMES[p] or value for p in parameters}
                arguments = ", ".join(stands.values())
                if len(overloads) == 1:
                    lines.append(f"    reinterpret_cast<void const*>(&pleat::{room}::{name}<{arguments}>),")
                else:  # which of them: by the whole signature
                    signature = f"{returns} (*)({given})"
                    for parameter, what in stands.items():
                        signature = re.sub(rf"\b{parameter}\b", what, signature)
                    lines.append(f"    reinterpret_cast<void const*>(static_cast<{signature}>(&{name}<{arguments}>)),")
    print(PRELUDE)
    print(f"// passed on by others: {' '.join(passed)}")
    print(f"namespace pleat::{room} {{")
    print(f"extern void const* const pleat_instances_of_{room}[];\nvoid const* const pleat_instances_of_{room}[] = {{")
    print("\n".join(lines) + "\n};\n}")
    return len(lines)


def codec(include, room):
    names = []
    print("#include <pleat/codec/fake_quantized.hpp>")  # not in the door: few programs train with codes
    for path in sorted((include / "pleat" / room).glob("*.hpp")):
        for match in re.finditer(r"\n((?:template <class T> )?)struct (\w+)(?: : [\w:<>]+)? \{\n[^}]*?static constexpr (?:std::string_view|auto|char const\*) name", path.read_text()):
            names.append(f"pleat::codec::{match.group(2)}" + ("<float>" if match.group(1) else ""))
        for match in re.finditer(r"\ntemplate <class T[^>]*> using (\w+) = stored<", path.read_text()):
            names.append(f"pleat::codec::{match.group(1)}<float>")
    print("#include <pleat/nn/conv2d.hpp>\n#include <pleat/nn/linear.hpp>")
    print(f"using pleat_all_forms = pleat::codec::forms<{', '.join(names)}>;")
    for layer in ("linear", "conv2d"):
        print(f"template class pleat::nn::{layer}<pleat_all_forms, Kokkos::Cuda>;")
    # Members of a class template of static functions that no layer calls.
    whole = "pleat::codec::factors<float>"
    print(f"template {whole}::storage<Kokkos::Cuda> {whole}::slice(pleat::context<Kokkos::Cuda>&, pleat::extents const&, "
          f"{whole}::storage<Kokkos::Cuda> const&, pleat::index_box const&);")
    for name in names:
        if name not in ("pleat::codec::dense<float>", "pleat::codec::masked<float>", "pleat::codec::int8<float>", "pleat::codec::fake_quantized<float>", whole):
            print(f"template void {name}::slice(pleat::context<Kokkos::Cuda>&, pleat::extents const&, {name}::storage<Kokkos::Cuda> const&, "
                  f"pleat::index_t, pleat::index_t, {name}::storage<Kokkos::Cuda>&);")
    print("template void pleat::codec::apply_integer(pleat::context<Kokkos::Cuda>&, pleat::extents const&, pleat::codec::int8<float>::storage<Kokkos::Cuda> const&, "
          "pleat::codec::requantizer<Kokkos::Cuda> const&, pleat::index_t, std::int8_t const*, std::int8_t*);")
    print("template void pleat::codec::convolve_integer(pleat::context<Kokkos::Cuda>&, pleat::compute::conv2d_shape const&, pleat::codec::int8<float>::storage<Kokkos::Cuda> const&, "
          "pleat::codec::requantizer<Kokkos::Cuda> const&, std::int8_t const*, std::int8_t*);")
    print("template struct pleat::codec::requantizer<Kokkos::Cuda>;")
    fake, weight = "pleat::codec::fake_quantized<float>", "pleat::context<Kokkos::Cuda>&, pleat::extents const&, pleat::codec::fake_quantized<float>::storage<Kokkos::Cuda> const&"
    print(f"template void {fake}::step_gradients({weight}, float*, float*);")
    for form in ("int8<float>", "int4<float, 32>"):
        print(f"template bool {fake}::convert<pleat::codec::{form}>({weight}, pleat::codec::{form}::storage<Kokkos::Cuda>&);")
    return len(names)


def nn(include, room):
    count = 0
    for path in sorted((include / "pleat" / room).glob("*.hpp")):
        text = namespace_scope(path.read_text())
        for match in re.finditer(r"\ntemplate <((?:[^;{}()])*?)>\s+(class|struct) (\w+)(?: final)? (?=[:{])", text):
            parameters = re.split(r",\s*(?=class |typename )", match.group(1))
            if all("=" in p for p in parameters):
                print(f"template {match.group(2)} pleat::{room}::{match.group(3)}<>;")
                count += 1
    return count


def main():
    include, room = pathlib.Path(sys.argv[1]), sys.argv[2]
    made = {"compute": compute, "codec": codec, "nn": nn}.get(room)
    count = made(include, room) if made else 0
    if made and count == 0:
        sys.exit(f"instantiate.py: found nothing to instantiate in pleat/{room}; is the pattern out of date?")
    print(f"instantiate.py: {room}: {count} instances", file=sys.stderr)


main()
