# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ggml's products of a quantized 4096 x 4096 weight with 1 to 64 rows, and its quantizers, as rows of Google Benchmark beside
stored/<form>/apply/<rows> and stored/<form>/encode_into of bench_codec: peer/ggml/<form>/apply/<rows>, peer/ggml/<form>/encode_into.

ggml is never built here. Its shared libraries (libggml-base, libggml-cpu) are looked for in PLEAT_GGML_LIB (a folder), in the Python package
llama_cpp, and where the system keeps libraries; without them nothing is measured, and that is said.

    ggml_matvec.py --beside build/release/bin/bench_codec    both by turns: ours gain `ggml_over_this`, the least processor times' quotient"""
import argparse
import ctypes
import ctypes.util
import importlib.util
import json
import os
import subprocess
import sys
import time

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


def row(name, seconds, cpu, runs, what, **more):
    rate = {"weights_per_second": SIDE * SIDE / seconds} if what == "encode_into" else {"flops": 2 * int(what.removeprefix("apply/")) * SIDE * SIDE / seconds}
    return {"name": name, "run_name": name, "run_type": "iteration", "iterations": runs, "real_time": seconds * 1e3, "cpu_time": cpu * 1e3, "time_unit": "ms", **rate, **more}


class Timed:
    """Runs `once` again and again; remembers the least times."""

    def __init__(self):
        self.runs, self.least, self.least_cpu = 0, 1e30, 1e30

    def run(self, seconds):
        self.once()
        fewest, end = self.runs + 5, time.perf_counter() + seconds
        while time.perf_counter() < end or self.runs < fewest:
            start, used = time.perf_counter(), time.process_time()
            self.once()
            self.least, self.least_cpu, self.runs = min(self.least, time.perf_counter() - start), min(self.least_cpu, time.process_time() - used), self.runs + 1

    def free(self):
        pass


class Encoding(Timed):
    """ggml's quantizer of one weight."""

    def __init__(self, base, values, form):
        super().__init__()
        number, size, block = TYPES[form]
        self.blocks = ctypes.create_string_buffer(SIDE * SIDE * size // block)
        self.once = lambda: base.ggml_quantize_chunk(number, ctypes.cast(values, ctypes.c_void_p), ctypes.cast(self.blocks, ctypes.c_void_p), 0, SIDE, SIDE, None)


class Product(Timed):
    """ggml's product of one weight with m rows."""

    def __init__(self, base, backend, values, form, m):
        super().__init__()
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
    """Least wall and processor time of a row of bench_codec, and its iterations."""
    said = subprocess.run([program, f"--benchmark_filter=^{name}$", f"--benchmark_min_time={seconds / 5}", "--benchmark_repetitions=5", "--benchmark_format=json"],
                          capture_output=True, text=True, check=True).stdout
    rows = [r for r in json.loads(said)["benchmarks"] if r["run_type"] == "iteration"]
    if not rows or any(r["time_unit"] != "ms" for r in rows):
        sys.exit(f"ggml_matvec.py: {program} has no row {name} in ms")
    return min(r["real_time"] for r in rows) / 1e3, min(r["cpu_time"] for r in rows) / 1e3, sum(r["iterations"] for r in rows)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--seconds", type=float, default=1)
    options.add_argument("--filter", default="")
    options.add_argument("--beside", help="bench_codec, which runs by turns with ggml")
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--out", default="-")
    options = options.parse_args()
    if options.beside and options.threads != 1:
        options.beside = None  # its rows have one thread
        print("ggml_matvec.py: bench_codec has rows of one thread only; --beside is left out", file=sys.stderr)
    rows, libraries = [], load()
    if libraries is None:
        print("ggml_matvec.py: no libggml-base and libggml-cpu found; NOTHING MEASURED (PLEAT_GGML_LIB names their folder)", file=sys.stderr)
    else:
        base, cpu = libraries
        declare(base, cpu)
        import random
        backend = cpu.ggml_backend_cpu_init()
        cpu.ggml_backend_cpu_set_n_threads(backend, options.threads)
        draw = random.Random(1)
        some = [draw.gauss(0, 1) for _ in range(1 << 16)]
        values = (ctypes.c_float * (SIDE * SIDE))()
        for at in range(0, SIDE * SIDE, len(some)):
            values[at:at + len(some)] = some
        for form in TYPES:
            for what in ("apply/1", "apply/8", "apply/32", "apply/64", "encode_into"):
                if what == "encode_into" and options.threads != 1:
                    continue  # its quantizers run on one thread
                mine, name = f"stored/{form}/{what}", f"peer/ggml/{form}/{what}" + ("" if options.threads == 1 else f"/threads:{options.threads}")
                if options.filter not in name:
                    continue
                timed, best = Encoding(base, values, form) if what == "encode_into" else Product(base, backend, values, form, int(what[6:])), (1e30, 1e30, 0)
                for _ in range(options.turns if options.beside else 1):
                    timed.run(options.seconds)
                    if options.beside:
                        least, least_cpu, runs = ours(options.beside, mine, options.seconds)
                        best = min(best[0], least), min(best[1], least_cpu), best[2] + runs
                timed.free()
                rows.append(row(name, timed.least, timed.least_cpu, timed.runs, what))
                said = f"{name}  {timed.least * 1e3:.3f} ms, {timed.least_cpu * 1e3:.3f} ms of processor time"
                if options.beside:
                    rows.append(row(mine, *best, what, ggml_over_this=timed.least_cpu / best[1]))
                    said += f"; {mine} {best[1] * 1e3:.3f}, ggml_over_this {timed.least_cpu / best[1]:.2f}"
                print(said, file=sys.stderr)
    text = json.dumps({"context": {"executable": "ggml_matvec.py", **({"ggml": "found"} if libraries else {})}, "benchmarks": rows}, indent=1)
    if options.out == "-":
        print(text)
    else:
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(text)


if __name__ == "__main__":
    main()
