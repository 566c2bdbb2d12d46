# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ggml's products of a quantized 4096 x 4096 weight with 1 to 64 rows, and its quantizers, as rows of Google Benchmark beside
stored/<form>/apply/<rows> and stored/<form>/encode_into of bench_codec: peer/ggml/<form>/apply/<rows>, peer/ggml/<form>/encode_into.

ggml is never built here. Its shared libraries (libggml-base, libggml-cpu) are looked for in PLEAT_GGML_LIB (a folder), in the Python package
llama_cpp, and where the system keeps libraries; without them nothing is measured, and that is said.

    ggml_matvec.py --beside build/release/bin/bench_codec    both by turns: ours gain `ggml_over_this`, the least processor times' quotient"""
import ctypes
import ctypes.util
import importlib.util
import json
import os
import random
import subprocess
import sys

import peer_rows

SIDE = 4096
TYPES = {"q8_0": (8, 34, 32), "q4_0": (2, 18, 32), "q5_1": (7, 24, 32), "q4_K": (12, 144, 256), "q6_K": (14, 210, 256)}  # number in ggml, bytes, numbers of a block


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def load():
    """(base, cpu) or None."""
    folders = [os.environ.get("PLEAT_GGML_LIB", "")]
    package = importlib.util.find_spec("llama_cpp")
    if package and package.origin:
        folders.append(os.path.join(os.path.dirname(package.origin), "lib"))
    for folder in filter(None, folders):
        paths = [os.path.join(folder, f"libggml-{part}.so") for part in ("base", "cpu")]
        if all(map(os.path.exists, paths)):
            return [ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in paths]
    names = [ctypes.util.find_library(f"ggml-{part}") for part in ("base", "cpu")]
    return [ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL) for name in names] if all(names) else None


def declare(base, cpu):
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for library, name, result, arguments in [
            (base, "ggml_init", pointer, [InitParams]), (base, "ggml_free", None, [pointer]), (base, "ggml_get_data", pointer, [pointer]),
            (base, "ggml_new_tensor_2d", pointer, [pointer, ctypes.c_int, number, number]), (base, "ggml_mul_mat", pointer, [pointer] * 3),
            (base, "ggml_new_graph", pointer, [pointer]), (base, "ggml_build_forward_expand", None, [pointer] * 2),
            (base, "ggml_quantize_chunk", ctypes.c_size_t, [ctypes.c_int, pointer, pointer, number, number, number, pointer]),
            (base, "ggml_backend_graph_compute", ctypes.c_int, [pointer] * 2), (cpu, "ggml_backend_cpu_init", pointer, []),
            (cpu, "ggml_backend_cpu_set_n_threads", None, [pointer, ctypes.c_int])]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def row(name, what, runs, seconds, processor, **more):
    rate = {"weights_per_second": SIDE * SIDE / seconds} if what == "encode_into" else {"flops": 2 * int(what.removeprefix("apply/")) * SIDE * SIDE / seconds}
    return peer_rows.row(name, runs, seconds, processor, **rate, **more)


class Encoding:
    """ggml's quantizer of one weight."""

    def __init__(self, base, values, form):
        number, size, block = TYPES[form]
        self.blocks = ctypes.create_string_buffer(SIDE * SIDE * size // block)
        self.once = lambda: base.ggml_quantize_chunk(number, ctypes.cast(values, ctypes.c_void_p), ctypes.cast(self.blocks, ctypes.c_void_p), 0, SIDE, SIDE, None)

    def free(self):
        pass


class Product:
    """ggml's product of one weight with m rows."""

    def __init__(self, base, backend, values, form, m):
        number, size, block = TYPES[form]
        self.base = base
        self.context = base.ggml_init(InitParams(SIDE * SIDE * size // block + 8 * SIDE * m + (4 << 20), None, False))
        w, x = base.ggml_new_tensor_2d(self.context, number, SIDE, SIDE), base.ggml_new_tensor_2d(self.context, 0, SIDE, m)
        base.ggml_quantize_chunk(number, ctypes.cast(values, ctypes.c_void_p), base.ggml_get_data(w), 0, SIDE, SIDE, None)
        ctypes.memmove(base.ggml_get_data(x), values, 4 * SIDE * m)
        self.graph = base.ggml_new_graph(self.context)
        base.ggml_build_forward_expand(self.graph, base.ggml_mul_mat(self.context, w, x))
        self.once = lambda: base.ggml_backend_graph_compute(backend, self.graph)

    def free(self):
        self.base.ggml_free(self.context)


def ours(program, name, seconds):
    """As `peer_rows.fastest`, of a row of bench_codec, whose processor time is a mean."""
    said = subprocess.run([program, f"--benchmark_filter=^{name}$", f"--benchmark_min_time={seconds}", "--benchmark_format=json"], capture_output=True, text=True, check=True).stdout
    rows = json.loads(said)["benchmarks"]
    if len(rows) != 1 or rows[0]["time_unit"] != "ms":
        sys.exit(f"ggml_matvec.py: {program} has no row {name} in ms")
    return rows[0]["iterations"], rows[0]["least_ns"] / 1e9, rows[0]["cpu_time"] / 1e3


def least(turns):
    """Of several turns: (calls of all, least time, least processor time)"""
    return sum(t[0] for t in turns), min(t[1] for t in turns), min(t[2] for t in turns)


def main():
    options = peer_rows.arguments(__doc__)
    options.add_argument("--beside", help="bench_codec, which runs by turns with ggml")
    options.add_argument("--turns", type=int, default=15)
    options = options.parse_args()
    if options.beside and options.threads != 1:
        options.beside = None  # its rows have one thread
        print("ggml_matvec.py: bench_codec has rows of one thread only; --beside is left out", file=sys.stderr)
    end = "" if options.threads == 1 else f"/threads:{options.threads}"
    wanted = [(name, form, what) for form in TYPES for what in ("apply/1", "apply/8", "apply/32", "apply/64", "encode_into")
              if options.filter.search(name := f"peer/ggml/{form}/{what}{end}") and not (end and what == "encode_into")]  # its quantizers run on one thread
    rows, libraries = [], load()
    if libraries is None:
        print("ggml_matvec.py: no libggml-base and libggml-cpu found; NOTHING MEASURED (PLEAT_GGML_LIB names their folder)", file=sys.stderr)
    elif wanted:
        base, cpu = libraries
        declare(base, cpu)
        backend = cpu.ggml_backend_cpu_init()
        cpu.ggml_backend_cpu_set_n_threads(backend, options.threads)
        draw = random.Random(1)
        some = [draw.gauss(0, 1) for _ in range(1 << 16)]
        values = (ctypes.c_float * (SIDE * SIDE))()
        for at in range(0, SIDE * SIDE, len(some)):
            values[at:at + len(some)] = some
        for name, form, what in wanted:
            work = Encoding(base, values, form) if what == "encode_into" else Product(base, backend, values, form, int(what[6:]))
            theirs, mine = [], []
            for _ in range(options.turns if options.beside else 1):
                theirs.append(peer_rows.fastest(work.once, options.seconds))
                if options.beside:
                    mine.append(ours(options.beside, f"stored/{form}/{what}", options.seconds))
            work.free()
            rows.append(row(name, what, *least(theirs)))
            said = f"{name}  {rows[-1]['real_time'] / 1e3:.3f} ms, {rows[-1]['cpu_time'] / 1e3:.3f} ms of processor time"
            if options.beside:
                over = least(theirs)[2] / least(mine)[2]
                rows.append(row(f"stored/{form}/{what}", what, *least(mine), ggml_over_this=over))
                said += f"; ours {rows[-1]['cpu_time'] / 1e3:.3f}, ggml_over_this {over:.2f}"
            print(said, file=sys.stderr)
    peer_rows.write(options.out, {"executable": "ggml_matvec.py", **({"ggml": "found"} if libraries else {})}, rows)


if __name__ == "__main__":
    main()
