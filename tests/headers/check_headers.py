# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Hygiene of the headers, by the compiler alone (-fsyntax-only, -dM -E).

alone   every header compiles by itself and twice in one file, without a warning
hostile all headers compile, in either order, after macros that other people's headers are known to define
macros  the headers define no macro that is not named PLEAT_
once    kernels/once.cpp reaches every header that has a PLEAT_COMPILED_ONCE: else a program that links pleat::kernels misses it; the word PLEAT_ONCE
        goes first, stands on no inline or virtual function, operator or destructor, and its header includes base/config.hpp; the umbrella of
        a program that links pleat::kernels reads no vector intrinsics
no_kokkos  a header that says that it needs no Kokkos includes none by any way, and compiles where there is none; so do the bit logic of every form,
        the words of recipes, observers, files and transports, whatever they say
remedies  every error that is thrown or made says what to do: it has a third argument (examples, too); every header says what it is for: `\\file`

Usage: check_headers.py alone|hostile|macros|once|no_kokkos|remedies --compiler CXX --flags RSP --include DIR --scratch DIR --jobs N
"alone" compiles a header after the largest of BASES that it includes itself, by whatever way, precompiled: what the base declares
the header would see anyway, and every base is compiled alone like any other header. Three quarters of the
text that a compiler would read are read once then.
"""
import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)
# How a line with PLEAT_ONCE begins, and what the word is not for (base/config.hpp): a template is neither virtual nor an assignment.
FIRST = re.compile(r"^ *PLEAT_ONCE (\[\[[^\]]*\]\] )*(?!.*(\binline\b|\bvirtual\b|\boverride\b|\boperator\b|~\w+\())")
# Defined by <complex.h>, <termios.h>, <sys/sysmacros.h>, <math.h> of older systems, X11, Windows and Fortran-style codes.
HOSTILE = ("I B0 B50 B75 small near far interface OVERFLOW UNDERFLOW DOMAIN SING None Bool True False "
           "Success Always Status Complex PI SQR").split()
HOSTILE_FUNCTIONS = "major minor makedev".split()  # of <sys/sysmacros.h>: they bite only before a parenthesis
# What many headers include, the largest first ("alone"), and for how many a base is worth its precompiling.
BASES = ("pleat/run/fit.hpp", "pleat/parallel/any_model.hpp", "pleat/nn/layer.hpp", "pleat/codec/dense.hpp",
         "Kokkos_Core.hpp", "pleat/comm/communicator.hpp", "pleat/tensor/extents.hpp")
WORTH = 6

def all_headers(root):
    return sorted(str(p.relative_to(root)) for p in root.glob("pleat/**/*.hpp"))


def closure(root, header, known):
    """(our headers, other headers) that `header` pulls in, itself included."""
    if header in known:
        return known[header]
    ours, others = {header}, []
    known[header] = (ours, others)
    text = (root / header).read_text()
    for name in INCLUDE.findall(text):
        if name.startswith("pleat/"):
            if not (root / name).exists():
                continue
            inner, outer = closure(root, name, known)
            ours |= inner
            others += [o for o in outer if o not in others]
        elif name not in others:
            others.append(name)
    return known[header]


def run(command, stdin=None):
    return subprocess.run(command, input=stdin, text=True, capture_output=True)


def precompiled(args, name, folder):
    """Options that put the header `name` before a source, precompiled; none where it does not compile."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / (name.replace("/", "_") + ".hpp")
    source.write_text(f"#include <{name}>\n")
    made = run([args.compiler, f"@{args.flags}", "-w", "-x", "c++-header", str(source), "-o", f"{source}.gch"])
    return ["-include", str(source)] if made.returncode == 0 else []


def alone(args):
    flags = args.flags.read_text()
    headers = all_headers(args.include)
    known = {}
    for header in headers:
        closure(args.include, header, known)
    remembered = args.scratch / "passed"
    remembered.mkdir(parents=True, exist_ok=True)

    def stamp_of(header):
        digest = hashlib.sha256(flags.encode() + args.compiler.encode())
        for name in sorted(known[header][0]):
            digest.update((args.include / name).read_bytes())
        return remembered / (header.replace("/", "_") + "." + digest.hexdigest()[:16])

    stamps = {header: stamp_of(header) for header in headers}
    to_do = [header for header in headers if not stamps[header].exists()]
    within = {header: known[header][0] - {header} | set(known[header][1]) for header in to_do}
    for base in BASES:
        if base != "Kokkos_Core.hpp" and base not in headers:
            sys.exit(f"check_headers.py: there is no {base} any more; name another header in BASES that many include")
    bases = BASES if "clang" not in args.compiler else ()
    for repeat in (1, 2):  # a base that few want is left out, and then the next may be wanted
        base_of = {header: next((b for b in bases if b in within[header]), None) for header in to_do}
        bases = [b for b in bases if sum(base_of[header] == b for header in to_do) >= WORTH]

    def one(header):
        begin = time.monotonic()
        text = f"#include <{header}>\n#include <{header}>\n"
        done = run([args.compiler, f"@{args.flags}", "-Werror", *options[base_of[header]], "-fsyntax-only", "-x", "c++", "-"], text)
        if done.returncode == 0:
            stamps[header].touch()
        return header, time.monotonic() - begin, done.stderr if done.returncode else ""

    failures, seconds, begun = [], 0.0, time.monotonic()
    folder = args.scratch / "pch"
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        options = dict(zip(bases, pool.map(lambda base: precompiled(args, base, folder), bases))) | {None: []}
        prepared = time.monotonic() - begun
        base_of = {header: base_of[header] if base_of[header] in options else None for header in to_do}
        for header, spent, said in pool.map(one, to_do):
            seconds += spent
            if said:
                failures.append(header)
                print(f"--- {header} does not compile alone and twice without a warning:\n{said}")
    shutil.rmtree(folder, ignore_errors=True)  # some gigabytes
    print(f"{len(headers)} headers, {seconds:.1f} s of compiling {len(to_do)} of them after {prepared:.1f} s for {len(bases)} precompiled ones, "
          f"{len(failures)} failed: {' '.join(failures)}")
    return 1 if failures else 0


def others_of(args, headers):
    known, others = {}, []
    for header in headers:
        others += [o for o in closure(args.include, header, known)[1] if o not in others]
    return [o for o in others if exists(args, o)]


def exists(args, name):
    return run([args.compiler, f"@{args.flags}", "-fsyntax-only", "-x", "c++", "-"],
               f'#if !__has_include(<{name}>)\n#error none\n#endif\n').returncode == 0


def hostile(args):
    headers = all_headers(args.include)
    text = "".join(f"#include <{o}>\n" for o in others_of(args, headers))
    for name in HOSTILE:
        text += f"#undef {name}\n#define {name} ::this_name_belongs_to_somebody_else\n"
    for name in HOSTILE_FUNCTIONS:
        text += f"#undef {name}\n#define {name}(x) ::this_name_belongs_to_somebody_else\n"
    failed = 0
    for order in (headers, headers[::-1]):
        done = run([args.compiler, f"@{args.flags}", "-fsyntax-only", "-x", "c++", "-"],
                   text + "".join(f"#include <{h}>\n" for h in order))
        if done.returncode:
            print(done.stderr)
            failed = 1
    print(f"{len(headers)} headers after {len(HOSTILE)} hostile macros, in both orders")
    return failed


def defined(args, includes):
    done = run([args.compiler, f"@{args.flags}", "-dM", "-E", "-x", "c++", "-"], "".join(f"#include <{i}>\n" for i in includes))
    if done.returncode:
        sys.exit(done.stderr)
    return dict(line.split(" ", 2)[1:] if line.count(" ") > 1 else (line.split(" ")[1], "") for line in done.stdout.splitlines())


def macros(args):
    headers = all_headers(args.include)
    before = defined(args, others_of(args, headers))
    after = defined(args, headers)
    leaked = sorted(name for name in after if name not in before and not name.startswith("PLEAT_"))
    ours = sorted(name for name in after if name not in before and name.startswith("PLEAT_"))
    print(f"{len(headers)} headers define {' '.join(ours)}")
    for name in leaked:
        print(f"--- a macro leaks that is not named PLEAT_: {name} {after[name]}")
    # Not compared with `before`: some includes are conditional, and their macros differ without anybody's fault.
    gone = sorted({name for header in headers for name in re.findall(r"#\s*undef\s+(\w+)", (args.include / header).read_text())
                   if not name.startswith("PLEAT_")})
    for name in gone:
        print(f"--- our headers undefine a macro of somebody else: {name}")
    return 1 if leaked or gone else 0


def once(args):
    root = args.include.parent
    known, reached = {}, set()
    for name in INCLUDE.findall((root / "kernels/once.cpp").read_text()):
        reached |= closure(args.include, name, known)[0]
    marked = [h for h in all_headers(args.include) if re.search(r"\bPLEAT_ONCE\b(?!_)", (args.include / h).read_text()) and not h.endswith("base/config.hpp")]
    listed = [h for h in marked if "PLEAT_COMPILED_ONCE(" in (args.include / h).read_text()]
    missing = [h for h in listed if h not in reached]
    for h in missing:
        print(f"--- {h} has a PLEAT_COMPILED_ONCE, and kernels/once.cpp does not include it")
    borrowed = [h for h in marked if "#include <pleat/base/config.hpp>" not in (args.include / h).read_text()]
    for h in borrowed:
        print(f"--- {h} has a PLEAT_ONCE, and does not include pleat/base/config.hpp, which defines it")
    late = [(h, line.strip()) for h in marked for line in (args.include / h).read_text().splitlines()
            if re.search(r"\bPLEAT_ONCE\b(?!_)", line) and not FIRST.match(line)]
    for h, line in late:
        print(f"--- {h}: PLEAT_ONCE goes first, then attributes, and not on inline or virtual functions, operators and destructors: {line}")
    def intrinsics(headers):
        text = "".join(f"#include <{h}>\n" for h in headers)
        done = run([args.compiler, f"@{args.flags}", "-DPLEAT_ONCE_ELSEWHERE", "-M", "-x", "c++", "-"], text)
        return "/immintrin.h" in done.stdout if done.returncode == 0 else sys.exit(done.stderr)
    read = intrinsics(["pleat/pleat.hpp"]) and not intrinsics(
        [o for o in others_of(args, ["pleat/pleat.hpp"]) if o != "immintrin.h"])  # a Kokkos may read them
    if read:
        print("--- <pleat/pleat.hpp> reads <immintrin.h> where pleat::kernels is linked: see PLEAT_HAS_VECTORS in base/config.hpp")
    print(f"{len(listed)} headers have something that is compiled once")
    return 1 if missing or borrowed or late or read or not listed else 0


def no_kokkos(args):
    always = re.compile(r"pleat/(codec/detail/\w+_bits|codec/(error_norms|file_tensor|magnitude_histogram)|compress/(recipe|observers|rank_rules|schedule|error_ledger)"
                        r"|io/.+|comm/.+)\.hpp")
    promised, found = [], 0
    for header in all_headers(args.include):
        said = re.match(r"(//.*\n|\s*\n)*", (args.include / header).read_text()).group()
        if always.fullmatch(header) or re.search(r"needs\s+(///\s+)?no\s+(///\s+)?Kokkos", said, re.I):
            promised.append(header)
    for header in promised:
        known = {}
        ours, others = closure(args.include, header, known)
        if any(o.startswith("Kokkos") for o in others):
            found = 1
            by = sorted(h for h in ours if "Kokkos" in " ".join(INCLUDE.findall((args.include / h).read_text())))
            print(f"--- {header} is to need no Kokkos, and comes to it through {' '.join(by)}")
    # Where there is none: the first folder that is looked into has a header of that name that says so.
    nothing = args.scratch / "no_kokkos"
    nothing.mkdir(parents=True, exist_ok=True)
    for name in ("Kokkos_Core.hpp", "Kokkos_Macros.hpp", "Kokkos_Core_fwd.hpp"):
        (nothing / name).write_text("#error a header that is to need no Kokkos includes it\n")
    done = run([args.compiler, "-I", str(nothing), f"@{args.flags}", "-fsyntax-only", "-x", "c++", "-"], "".join(f"#include <{h}>\n" for h in promised))
    if done.returncode:
        print(done.stderr)
    print(f"{len(promised)} headers need no Kokkos")
    return 1 if found or done.returncode or len(promised) < 50 else 0


def arguments_of(text, at):
    """The arguments of a call or of braces that open before `at`, one string each."""
    found, depth, begin, quoted = [], 1, at, False
    while depth:
        c = text[at]
        if quoted and c == "\\":
            at += 1
        elif c == '"' or (c == "'" and text[at:at + 3] in ("'\"'", "'('", "')'", "'{'", "'}'", "','", "'['", "']'")):
            if c == "'":
                at += 2
            else:
                quoted = not quoted
        elif not quoted and c in "([{":
            depth += 1
        elif not quoted and c in ")]}":
            depth -= 1
        elif not quoted and c == "," and depth == 1:
            found.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return found + [text[begin:at - 1].strip()]


def remedies(args):
    thrown, silent = 0, []
    examples = sorted(p for kind in ("hpp", "cpp") for p in (args.include.parent / "examples").glob(f"*/*.{kind}"))
    headers = [args.include / h for h in all_headers(args.include)]
    nameless = [h for h in headers if "/// \\file\n/// " not in h.read_text()]
    for header in headers + examples:
        text = header.read_text()
        for m in re.finditer(r"\b(?:throw|return) (?:(?:pleat|pl)::)?error\{", text):
            told = arguments_of(text, m.end())
            thrown += 1
            if len(told) == 2 or (len(told) > 2 and told[2] in ('""', "{}")):  # one argument: an error that goes on
                silent.append((header, text.count("\n", 0, m.start()) + 1, told[1]))
    for header, line, words in silent:
        print(f"--- {header}:{line} says what is wrong and not what to do: {' '.join(words.split())}")
    for header in nameless:
        print(f"--- {header} does not say what it is for: /// \\file, and a sentence")
    print(f"{thrown} errors say what to do, {len(headers)} headers what they are for")
    return 1 if silent or nameless or not thrown else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["alone", "hostile", "macros", "once", "no_kokkos", "remedies"])
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--flags", type=pathlib.Path, required=True)
    parser.add_argument("--include", type=pathlib.Path, required=True)
    parser.add_argument("--scratch", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    os.environ["LC_ALL"] = "C"
    args.scratch.mkdir(parents=True, exist_ok=True)
    return {"alone": alone, "hostile": hostile, "macros": macros, "once": once, "no_kokkos": no_kokkos, "remedies": remedies}[args.what](args)


if __name__ == "__main__":
    sys.exit(main())
