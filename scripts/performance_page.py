#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes docs/performance.md from build/bench.json (Google Benchmark's format; scripts/bench.sh makes it).

    scripts/performance_page.py [--check] [bench.json] [page.md] [forms.md]      --check: exit code 1 where an aim is missed or not measured

The table of forms in docs/forms.md is made from the same rows, between the two comments there that say so.

A row `peer/<who>/<name>` is the peer's run of `<name>`. Every ratio is our time divided by the peer's: below 1 we are faster, and a row
in which we are not is marked. Nothing is rounded in our favour: a ratio is cut to two digits upwards. A name has one row, the best of the
passes (scripts/bench_merge.py).
"""
import json
import math
import pathlib
import re
import sys

from performance_aims import ISAS, aims_table, judge

# First part of a benchmark's name -> the room that it belongs to. What is not here gets a section of its own.
ROOMS = {
    "gemm": "compute", "gemm_lanes": "compute", "conv2d": "compute", "pool2d": "compute", "int8_gemm": "compute", "int8_conv2d": "compute",
    "sort": "compute", "histogram": "compute", "top_k": "compute", "threshold_of_top_k": "compute", "nth_element": "compute", "elementwise": "compute",
    "softmax": "compute", "reduce": "compute", "norm": "compute", "optimizer": "compute", "relu": "compute", "gelu": "compute",
    "gelu_backward": "compute", "tanh": "compute", "sigmoid": "compute", "squared_norm": "compute", "column_sum": "compute",
    "cross_entropy": "compute", "quantize_rows": "compute", "sgd_momentum": "compute", "adamw": "compute", "comm": "comm",
    "lane_reduce": "comm", "form": "codec", "read_idx": "io", "gather": "io", "safetensors": "io", "checkpoint": "io",
    "stored": "codec", "float": "codec", "memory": "codec", "stored_convolution": "codec", "plan": "tensor", "schedule": "plan", "stages": "plan",
    "host_cost": "parallel", "pipeline": "parallel", "state": "parallel", "tensor_axis": "parallel", "exposed_communication": "parallel",
    "base": "base", "layer": "nn", "build": "nn", "train_step": "run", "serve": "run", "network": "compress", "pruned": "compress",
    "transform": "compress",
}
# Counters that compare a row with another one of its benchmark -> what the figure says, which way it is rounded, and what it says below 1 where
# that is a loss.
FIGURES = {
    "share_of_bound": ("{} of the schedule's bound", math.floor), "share": ("{} of ranks that do not talk", math.floor), "ratio": ("{} of stage 0's time", math.ceil),
    "speedup": ("{}× of one rank's speed", math.floor), "exposed": ("{} of the exchange exposed", math.ceil), "to_silent": ("{} of the step of ranks that do not talk", math.ceil),
    "halves_over_whole": ("with backward in halves {} of the work in one piece", math.ceil),
    "over_read": ("{}× one read of the same memory", math.ceil),
    "whole_over_this": ("{}× faster than unpruned", math.floor, "{} of the unpruned's speed, **behind**"),
    "copies": ("{} copies of the weights", math.ceil),
    "float_over_this": ("{}× faster than float", math.floor, "{} of float's speed, **behind**"),
}
# Of the rows comm/ratio/...: ours over a call by hand, and how far from 1 chance alone gets.
PAIRED = {"ratio_median", "ratio_low", "ratio_high", "ratio_itself"}
# Peers whose rows are not called as ours: what follows "peer/" -> who, and the name of our row.
ALIASES = [
    (re.compile(r"std_sort/(\d+)$"), "std_sort", r"sort/f32/\1/threads:1"),
    (re.compile(r"std_nth_element/(\d+)$"), "std_nth_element", r"threshold_of_top_k/f32/\1/threads:1"),
    (re.compile(r"mpi/(?!comm/)(.+)$"), "mpi", r"comm/\1"),
    (re.compile(r"openblas/(apply/\d+)$"), "openblas", r"float/\1"),
    (re.compile(r"ggml/(.+/(?:apply/\d+|encode_into))$"), "ggml", r"stored/\1"),
]
ORDER = ["base", "tensor", "comm", "compute", "codec", "nn", "plan", "io", "parallel", "run", "compress"]
TITLES = {"openblas": "OpenBLAS", "pytorch": "PyTorch", "mpi": "MPI by hand", "std_sort": "std::sort", "std_nth_element": "std::nth_element", "thrust": "Thrust", "operator_new": "operator new", "read_file": "its bytes alone"}
NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
BEHIND = "behind"
# What the rows of a family measure, where that is not seen from their names.
REMARKS = {
    "exposed_communication": "`exposed` is the part of the exchange's time by which it lengthens the step. Which row is the claim of at most 0.10: the one with `link:10Gbit`, a modelled link whose time passes on no core "
                             "of the ranks, as between machines, where a rank has its cores for computing and the network moves the bytes. Without a link, ranks are threads that fill all cores of this machine: adding the "
                             "gradients up is work that the same cores do beside the step's own and cannot be hidden; what it costs is its share of the step (the last figure), not of the exchange. Behind a figure stands its interval: medians of differences and quotients of neighbouring steps, order statistics of 95 in 100.",
}
RATES = ["flops", "GF/s", "ops", "samples/s", "elements", "bytes_per_second", "items_per_second", "weights_per_second"]


class Row:
    """One benchmark: its time in nanoseconds and its counters."""

    def __init__(self, name, nanoseconds, counters):
        self.name, self.time, self.counters = name, nanoseconds, counters

    @property
    def family(self):
        return self.name.split("/")[0]

    def rate(self):
        c = self.counters
        if "flops" in c:
            return f"{c['flops'] * 1e-9:.1f} GFLOP/s"
        if "GF/s" in c:
            return f"{c['GF/s']:.1f} GFLOP/s"
        if "ops" in c:
            return f"{c['ops'] * 1e-9:.1f} Gop/s"
        if "samples/s" in c:
            return f"{c['samples/s']:,.0f} samples/s"
        if "us/parameter" in c:
            return f"{c['us/parameter']:.2f} µs per parameter"
        if "bytes" in c:
            return f"{c['bytes'] * 1e-3:,.1f} kB stored" if self.family == "form" else f"{c['bytes'] * 1e-9:.2f} GB/s"
        if "bytes_per_second" in c:
            return f"{c['bytes_per_second'] * 1e-9:.2f} GB/s"
        if "elements" in c:
            return f"{c['elements'] * 1e-6:.1f} M elements/s"
        if "items_per_second" in c:
            return f"{c['items_per_second']:,.0f} items/s"
        if "weights_per_second" in c:
            return f"{c['weights_per_second'] * 1e-9:.2f} G weights/s"
        return ""

    def interval(self, key):
        """How far the figure is known, rounded outwards: the bench's own interval, the widest of the passes."""
        low, high = self.counters.get(f"{key}_low"), self.counters.get(f"{key}_high")
        return "" if low is None or high is None else f"{math.floor(low * 1000 + 1e-9) / 1000:.3f} to {math.ceil(high * 1000 - 1e-9) / 1000:.3f}"

    def figure(self):
        said = []
        for key, (text, way, *slower) in FIGURES.items():
            if key in self.counters:
                value = self.counters[key]
                figure = f"{way(value * 100 - math.copysign(1e-9, 1 if way is math.ceil else -1)) / 100:.2f}"
                known = self.interval(key)
                said.append((slower[0] if slower and value < 1 else text).format(figure) + (f" ({known})" if known else ""))
        return "; ".join(said)


def plain(name):
    """The name without what Google Benchmark appends about how it measured."""
    return re.sub(r"/(real_time|manual_time|process_time|(min_time|min_warmup_time|iterations|repeats):[^/]+)", "", name)


def time_of(entry):
    """Nanoseconds of the fastest call, where the program timed every call (bench/support/repeat.hpp), else of the mean."""
    return entry["least_ns"] if "least_ns" in entry else float(entry["real_time"]) * NANOSECONDS[entry.get("time_unit", "ns")]


def counters_of(entry):
    """The counters per second of the row's time. Google Benchmark divides by the mean of the main thread's processor time, or of real time where a name says so."""
    by = entry.get("real_time" if re.search(r"/(real_time|manual_time)\b", entry.get("run_name", entry["name"])) else "cpu_time", 0) * NANOSECONDS[entry.get("time_unit", "ns")]
    factor = {**dict.fromkeys(RATES, by / time_of(entry)), "us/parameter": time_of(entry) / by} if by > 0 else {}
    known = {"family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time", "least_ns"}
    return {k: float(v) * factor.get(k, 1.0) for k, v in entry.items() if k not in known and isinstance(v, (int, float)) and not isinstance(v, bool)}


def peer_of(name):
    """Who ran `peer/<who>/...`, and the row of ours that it is a peer of."""
    rest = name.split("/", 1)[1]
    for pattern, who, ours in ALIASES:
        if pattern.match(rest):
            return who, pattern.sub(ours, rest)
    who, of = rest.split("/", 1)
    return who, of


def read(bench):
    """(ours by name, peers by name and who, names that failed)"""
    rows, failed = {}, []
    for entry in bench.get("benchmarks", []):
        name = plain(entry.get("run_name", entry["name"]))
        if entry.get("error_occurred") or entry.get("skipped"):
            failed.append((name, entry.get("error_message") or entry.get("skip_message") or "no reason given"))
        else:
            rows[name] = Row(name, time_of(entry), counters_of(entry))
    ours, peers = {}, {}
    for name, row in rows.items():
        if name.startswith("peer/"):
            who, of = peer_of(name)
            peers.setdefault(of, {})[who] = row
        else:
            ours[name] = row
    return ours, peers, failed


def time_text(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{three(nanoseconds / size)} {unit}"
    return f"{three(nanoseconds)} ns"


def three(x):
    return f"{x:.0f}" if x >= 99.95 else f"{x:.1f}" if x >= 9.995 else f"{x:.2f}"


def ratio_text(r):
    text = f"{math.ceil(r * 100 - 1e-9) / 100:.2f}"
    return f"**{text}** {BEHIND}" if r > 1 else text


def geometric_mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values))


def title(who):
    return TITLES.get(who, who)


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|", *("| " + " | ".join(r) + " |" for r in rows), ""]


def natural(name):
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def ratio_of(name, who, ours, peers):
    """Ours / the peer's. Where the benchmark itself compared by turns (comm/ratio/...), its median."""
    paired = ours.get(name.replace("comm/", "comm/ratio/", 1)) if who == "mpi" else None
    if paired and "ratio_median" in paired.counters:
        return paired.counters["ratio_median"]
    return ours[name].time / peers[name][who].time


def span(counters, key):
    """The least and the largest of the passes, rounded outwards; of one pass the figure itself."""
    low, high = counters.get(f"{key}_least", counters[key]), counters.get(f"{key}_most", counters[key])
    return f"{math.floor(low * 1000 + 1e-9) / 1000:.3f} to {math.ceil(high * 1000 - 1e-9) / 1000:.3f}"


def chance(name, ours):
    """Beside a call by hand: how far apart the passes lie, and what MPI beside itself gives by the same turns."""
    paired = ours.get(name.replace("comm/", "comm/ratio/", 1)) if name.startswith("comm/") else None
    if not paired or not {"ratio_median", "ratio_itself"} <= paired.counters.keys():
        return ""
    return f"ratio {span(paired.counters, 'ratio_median')}; MPI beside itself {span(paired.counters, 'ratio_itself')}"


def beside(name, ours, peers):
    """What a row's own counters say, and the most memory that it and its peers needed."""
    said, peak = [ours[name].figure(), chance(name, ours)], ours[name].counters.get("peak_MB")
    theirs = [f"{title(who)} {row.counters['peak_MB']:,.0f} MB" for who, row in sorted(peers.get(name, {}).items()) if "peak_MB" in row.counters]
    if peak is not None and theirs:
        said.append(f"memory at the most {math.ceil(peak):,} MB, {', '.join(theirs)}")
    return "; ".join(s for s in said if s)


def family_table(names, ours, peers):
    whos = sorted({who for n in names for who in peers.get(n, {})})
    rated = any(ours[n].rate() for n in names)
    told = any(beside(n, ours, peers) for n in names)
    head = ["what", "time"] + (["rate"] if rated else []) + (["beside"] if told else []) + [c for who in whos for c in (title(who), "ours / " + title(who))]
    rows, ratios = [], {who: [] for who in whos}
    for n in names:
        row = [f"`{n}`", time_text(ours[n].time)] + ([ours[n].rate()] if rated else []) + ([beside(n, ours, peers)] if told else [])
        for who in whos:
            peer = peers.get(n, {}).get(who)
            if peer:
                ratios[who].append(ratio_of(n, who, ours, peers))
                row += [time_text(peer.time), ratio_text(ratios[who][-1])]
            else:
                row += ["", ""]
        rows.append(row)
    if whos and max(len(v) for v in ratios.values()) > 1:
        row = ["geometric mean", ""] + [""] * (rated + told)
        for who in whos:
            row += ["", ratio_text(geometric_mean(ratios[who])) + f" over {len(ratios[who])}" if ratios[who] else ""]
        rows.append(row)
    return table(head, rows), {who: v for who, v in ratios.items() if v}


def ranks_table(ours):
    """Several ranks of one thread beside one, and beside as many that do not talk: by turns, in the row's counters."""
    def with_interval(row, key, mark):
        known = row.interval(key)
        return f"{math.floor(row.counters[key] * 100 + 1e-9) / 100:.2f}{mark}" + (f" ({known})" if known else "")

    rows = []
    for name in sorted(ours, key=natural):
        found = re.match(r"(.+)/(thread_ranks|mpi_ranks|ranks):(\d+)$", name)
        counters = ours[name].counters
        if found and {"speedup", "share"} <= counters.keys():
            stem, kind, n = found.groups()
            rows.append([f"`{stem}`", f"{n} {kind.replace('_', ' ')}", time_text(ours[name].time), time_text(counters["silent_ms"] * 1e6) if "silent_ms" in counters else "",
                         with_interval(ours[name], "speedup", "×"), with_interval(ours[name], "share", "")])
    return (["Ranks that do not talk compute the same halves: what computing alone costs. Where an interval stands behind a quotient, it is the median over rounds of one program, each of which has a "
             "block of steps of ranks that do not talk beside one of ranks together (in changing order), and in every second round one of one rank with the whole batch. "
             "The interval holds the median of as many further rounds in 95 of 100 cases, if rounds are independent (order statistics); of several passes the figure is the median, and the "
             "interval reaches from the least bound to the largest. Quotients without an interval are of the least times of turns. "
             "None of it is what rows of one rank further down give, which were measured at another moment.", ""] +
            table(["what", "ranks", "together", "without talking", "over one rank", "of ranks that do not talk"], rows)) if rows else []


def deterministic_table(ours):
    rows = []
    for name in sorted(ours, key=natural):
        if "/deterministic/" in name and name.replace("/deterministic/", "/") in ours:
            fast = ours[name.replace("/deterministic/", "/")]
            rows.append([f"`{name}`", time_text(fast.time), time_text(ours[name].time), f"{math.ceil(ours[name].time / fast.time * 100 - 1e-9) / 100:.2f}×"])
    return (["Two rows of one run, measured one after the other: how far below 1 quotients lie says how restless the machine was.", ""] +
            table(["what", "fast mode", "deterministic", "costs"], rows)) if rows else []


def int8_table(ours):
    rows = []
    for name in sorted(ours, key=natural):
        found = re.match(r"int8_gemm/(\d+x\d+x\d+)/(threads:\d+)$", name)
        other = found and ours.get(f"gemm/f32_for_int8/{found.group(1)}/{found.group(2)}")
        if other:
            rows.append([f"`{name}`", time_text(ours[name].time), time_text(other.time), f"{math.floor(other.time / ours[name].time * 100) / 100:.2f}×"])
    return table(["what", "int8", "our float product", "faster by"], rows) if rows else []


def forms_table(ours):
    rows = []
    for name in sorted(ours, key=natural):
        found = re.match(r"form/([^/]+)/(apply(?:_transposed)?/.+)$", name)
        dense = found and found.group(1) != "dense" and ours.get(f"form/dense/{found.group(2)}")
        if dense:
            stored = [f"{r.counters['bytes'] / 1e3:,.1f} kB" if "bytes" in r.counters else "" for r in (dense, ours[name])]
            rows.append([f"`{name}`", time_text(dense.time), time_text(ours[name].time), f"{math.floor(dense.time / ours[name].time * 100) / 100:.2f}×" + (f" {BEHIND}" if dense.time < ours[name].time else ""), *stored])
    return table(["what", "dense", "this form", "faster by", "dense stores", "this form stores"], rows) if rows else []


def stored_table(ours):
    """The forms that are applied as they are stored, a line each: how many times faster than float by batch, and how fast they are written and read."""
    forms = {}
    for name, r in ours.items():
        found = re.match(r"stored/([^/]+)/(.+)$", name)
        if found:
            forms.setdefault(found.group(1), {})[found.group(2)] = r
    batches = sorted({part for of in forms.values() for part in of if part.startswith("apply/")}, key=natural)
    rows = []
    for form, of in forms.items():
        speeds = [of[b].counters.get("float_over_this", 0.0) if b in of else 0.0 for b in batches]
        stored = next((r.counters["bytes"] for r in of.values() if "bytes" in r.counters), None)
        rows.append([f"`{form}`", f"{stored / 1e6:,.1f} MB" if stored else ""] + [f"{math.floor(x * 100) / 100:.2f}×" + ("" if x >= 1 else f" {BEHIND}") if x else "" for x in speeds] +
                    [of[what].rate() if what in of else "" for what in ("encode", "decode")])
    return table(["form", "stores"] + [b.replace("apply/", "batch ") for b in batches] + ["encode", "decode"], rows) if rows else []


BEGIN_FORMS, END_FORMS = "<!-- written by scripts/performance_page.py -->", "<!-- end of what it writes -->"
TYPES = {"q4_K": "q4_k", "q6_K": "q6_k", "int4_g128": "int4<float, 128>", "block_1x4": "block_sparse<float, 4>", "2:4": "n_m<float, 2, 4>", "int8_integer": "int8, integers alone"}  # where a form is not called as its rows


def form_title(form):
    kind, zeros = re.match(r"(.+?)(?:_at_(\d+))?$", form).groups()
    return f"`{TYPES.get(kind, kind)}`" + (f", {zeros} % zeros" if zeros else "")


def forms_section(bench):
    """What docs/forms.md says of the rows stored/<form>/…: milliseconds and speed over float by batch, and where that is a loss."""
    ours, peers, _ = read(bench)
    forms = {}
    for name, r in ours.items():
        found = re.match(r"stored/([^/]+)/(.+)$", name)
        if found:
            forms.setdefault(found.group(1), {})[found.group(2)] = r
    batches = sorted({int(part[6:]) for of in forms.values() for part in of if re.match(r"apply/\d+$", part)})
    whole = next((ours[f"form/dense/apply/{b}x4096x4096/threads:1"].counters.get("bytes") for b in batches if f"form/dense/apply/{b}x4096x4096/threads:1" in ours), 4.0 * 4096 * 4096)
    milliseconds = lambda r: f"{r.time / 1e6:.2g}" if r.time < 1e7 else f"{r.time / 1e6:.0f}"
    cell = lambda r: milliseconds(r) if r else ""
    rows = [["`dense<float>`", "1"] + [cell(ours.get(f"float/apply/{b}")) for b in batches] + ["", ""],
            ["OpenBLAS (sgemm)", "1"] + [cell(peers.get(f"float/apply/{b}", {}).get("openblas")) for b in batches] + ["", ""]]
    slower, nothing = [], []
    for form, of in forms.items():
        stored = next((r.counters["bytes"] for r in of.values() if "bytes" in r.counters), None)
        row, loses = [form_title(form), f"1/{whole / stored:.1f}" if stored else ""], []
        for b in batches:
            r = of.get(f"apply/{b}")
            over = r.counters.get("float_over_this") if r else None
            row.append(cell(r) + (f" ({math.floor(over * 100) / 100:.2f}×)" if over else ""))
            if over and over < 1:
                loses.append(str(b))
        rows.append(row + [cell(of.get(what)) for what in ("encode", "decode")])
        if loses and len(loses) == len(batches):
            nothing.append(form_title(form))
        elif loses:
            slower.append(f"{form_title(form)} with {' and '.join([', '.join(loses[:-1]), loses[-1]] if len(loses) > 1 else loses)} row{'' if loses == ['1'] else 's'}")
    context = bench.get("context", {})
    lines = [BEGIN_FORMS, f"Machine: {context.get('cpu_model', 'not said')}, one thread; {str(context.get('date', 'not said'))[:10]}; the fastest call in {passes(bench)}.", ""]
    lines += table(["form", "bytes"] + [str(b) for b in batches] + ["encode", "decode"], rows)
    if nothing:
        lines += [f"Slower than float with every batch: {'; '.join(nothing)}.", ""]
    if slower:
        lines += [f"Slower than float: {'; '.join(slower)}.", ""]
    into = [(form, of["encode_into"].time) for form, of in forms.items() if "encode_into" in of]
    if into and "memory/copy" in ours:
        copy = ours["memory/copy"].time
        lines += [f"A copy of the float weight in memory takes {copy / 1e6:.1f} ms. Encoding to memory that is there already (`encode_into`), in ms and as a share of the copy's speed: "
                  + ", ".join(f"{form_title(form)} {t / 1e6:.3g} ({math.floor(copy / t * 100) / 100:.2f})" for form, t in into) + ".", ""]
    shared = [f"{form_title(form)} {math.floor(whole / forms[form]['decode'].time * 10) / 10:.1f} GB/s" for form in ("codebook", "coded") if "decode" in forms.get(form, {})]
    if shared:
        lines += [f"Decoding shared values, floats written per second: {', '.join(shared)} (an entropy coder's speed depends on what it codes).", ""]
    beside = [[form_title(form)] + [f"{math.floor(peers[n]['ggml'].time / ours[n].time * 100) / 100:.2f}" if n in ours and "ggml" in peers.get(n, {}) else "" for n in (f"stored/{form}/apply/{b}" for b in batches)]
              for form in forms]
    if any(any(row[1:]) for row in beside):
        lines += ["ggml's time divided by ours in the same run, each quantizing x inside the timing; above 1 ours is faster:", ""]
        lines += table(["form"] + [str(b) for b in batches], [row for row in beside if any(row[1:])])
    return "\n".join(lines[:-1] + [END_FORMS])


def with_forms(text, bench):
    """The page docs/forms.md with its table of today."""
    begin, end = text.index(BEGIN_FORMS), text.index(END_FORMS) + len(END_FORMS)
    return text[:begin] + forms_section(bench) + text[end:]


def machine_lines(context):
    lines = []
    processor = context.get("cpu_model", "")
    cpus, mhz = context.get("num_cpus"), context.get("mhz_per_cpu")
    lines.append("- Machine: " + ", ".join(p for p in [processor, f"{cpus} processors" if cpus else "", f"{mhz} MHz" if mhz else ""] if p))
    caches = [f"L{c['level']} {c['type'].lower()} {c['size'] // 1024} KiB" for c in context.get("caches", []) if "size" in c]
    if caches:
        lines.append("- Caches: " + ", ".join(caches))
    if context.get("load_avg"):
        lines.append("- Load when it began: " + ", ".join(f"{x:.2f}" for x in context["load_avg"]))
    lines.append("- Date: " + str(context.get("date", "not said")))
    known = {"cpu_model", "num_cpus", "mhz_per_cpu", "caches", "load_avg", "date", "host_name", "executable", "json_schema_version", "cpu_scaling_enabled",
             "library_build_type", "library_version", "peers", "aslr_enabled", "isa"}
    if "isa" in context:
        lines.append(f"- Vectors: {ISAS.get(context['isa'], context['isa'])}")
    versions = {"Google Benchmark": context.get("library_version")}
    for key, value in {**context, **context.get("peers", {})}.items():
        if key not in known and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            versions[title(key)] = value
    lines.append("- Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items() if v))
    if context.get("cpu_scaling_enabled"):
        lines.append("- **The processor's frequency was not fixed**: ratios of one run mean more than times.")
    if context.get("library_build_type") == "debug":
        lines.append("- Google Benchmark itself was built without optimisation: times of a few nanoseconds are too long.")
    return lines


def passes(bench):
    n = max((entry.get("repetitions", 1) for entry in bench.get("benchmarks", [])), default=1)
    return f"{n} passes" if n > 1 else "one pass"


def page(bench):
    ours, peers, failed = read(bench)
    out = ["# Performance", "",
           "<!-- Written by scripts/performance_page.py; do not edit. -->", "",
           "Written by `scripts/performance_page.py` from `build/bench.json`, which `scripts/bench.sh` made. To repeat both:", "",
           "```sh", "scripts/bench.sh && scripts/performance_page.py", "```", "",
           "A ratio is our time divided by the peer's, in one run on one machine: below 1 we are faster. Rows in which we are slower say "
           f"*{BEHIND}*. Ratios are rounded up, speed-ups down. A row's time, ours and a peer's alike, is that of its fastest call in {passes(bench)} over all programs "
           "and peers, minutes apart (rows that no peer's script measures: some are the mean of a short window); a figure for which a row takes turns within itself is the median "
           "of the passes. Beside MPI the ratio of a pass is the median over rounds of four turns (ours, by hand, by hand, ours, or the other way round), and the "
           "row's the median of the passes, none picked; beside it stand the least and the largest of them, and the same figures of one turn by hand over "
           "another one: how far from 1 chance alone gets.", ""]
    out += machine_lines(bench.get("context", {})) + [""]
    if not ours:
        return "\n".join(out + ["There are no rows in the file.", ""])

    out += ["## Aims", "", "What the library has set itself to reach, and the worst row of this run (`scripts/performance_aims.py`). Figures are rounded against us.", ""]
    out += table(["aim", "bar", "worst", "row", ""], aims_table(ours, peers, bench.get("context", {}).get("isa")))

    families = {}
    for name in sorted((n for n in ours if not n.startswith("comm/ratio/")), key=natural):
        families.setdefault(ours[name].family, []).append(name)
    sections, summary, behind, small = {}, [], [], {}
    for family in [f for f in families if len(families[f]) <= 6 and f in ROOMS and not any(n in peers for n in families[f])]:
        small.setdefault(ROOMS[family], []).append(family)
    for room, found in small.items():  # families of a few rows without a peer share a table
        if len(found) > 1:
            families["others of " + room] = [n for family in found for n in families.pop(family)]
    for family, names in families.items():
        lines, ratios = family_table(names, ours, peers)
        room = ROOMS.get(family, family.removeprefix("others of ") if family.startswith("others of ") else "")
        sections.setdefault(room or family, []).append((family, lines))
        for who, values in ratios.items():
            summary.append([f"`{family}`", title(who), str(len(values)), ratio_text(geometric_mean(values)), ratio_text(max(values)), str(sum(v > 1 for v in values))])
        for n in names:
            behind += [(r, n, who) for who in peers.get(n, {}) if (r := ratio_of(n, who, ours, peers)) > 1]

    if summary:
        out += ["## Beside the peers", ""] + table(["family", "peer", "rows", "geometric mean", "worst", "rows behind"], summary)
        if behind:
            out += ["Where we are behind, worst first:", ""]
            out += [f"- `{n}`: {math.ceil(r * 100 - 1e-9) / 100:.2f} of {title(who)}'s time" for r, n, who in sorted(behind, reverse=True)] + [""]
        else:
            out += ["There is no row in which we are behind.", ""]
    else:
        out += ["The file has no rows of peers: this run compares us with nobody.", ""]
    for heading, lines in (("## Several ranks", ranks_table(ours)), ("## The price of determinism", deterministic_table(ours)), ("## Eight-bit products", int8_table(ours)),
                           ("## Forms", forms_table(ours)), ("## Forms applied as they are stored: speed over float", stored_table(ours))):
        if lines:
            out += [heading, ""] + lines
    for room in sorted(sections, key=lambda r: (ORDER.index(r) if r in ORDER else len(ORDER), r)):
        out += [f"## {room}", ""]
        for family, lines in sections[room]:
            if len(sections[room]) > 1:
                out += [f"### {family}", ""]
            for member in sorted({n.split("/")[0] for n in families[family]} & REMARKS.keys()):
                out += [f"`{member}`: {REMARKS[member]}", ""]
            out += lines
    lonely = sorted((n, who) for n, found in peers.items() if n not in ours for who in found)
    if lonely:
        out += ["## Peers' rows without one of ours", ""] + [f"- `{n}` ({title(who)}): {time_text(peers[n][who].time)}" for n, who in lonely] + [""]
    if failed:
        out += ["## Rows that failed", ""] + [f"- `{n}`: {why}" for n, why in failed] + [""]
    return "\n".join(out)


def main():
    check = "--check" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--check"]
    root = pathlib.Path(__file__).resolve().parent.parent
    source = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "build/bench.json"
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else root / "docs/performance.md"
    if not source.is_file():
        sys.exit(f"performance_page.py: there is no {source}; scripts/bench.sh makes it")
    try:
        bench = json.loads(source.read_text(encoding="utf-8"))
    except json.JSONDecodeError as e:
        sys.exit(f"performance_page.py: {source} is no JSON: {e}")
    forms = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else target.parent / "forms.md"
    target.write_text(page(bench), encoding="utf-8")
    if forms.is_file():
        forms.write_text(with_forms(forms.read_text(encoding="utf-8"), bench), encoding="utf-8")
    print(f"pleat: {len(bench.get('benchmarks', []))} rows of {source} became {target}")
    missed = [aim.what for aim, value, row, holds in judge(*read(bench)[:2], bench.get("context", {}).get("isa")) if not holds and aim.asked]
    if check and missed:
        sys.exit("\n".join(["performance_page.py: these aims are missed or not measured:", *missed]))


if __name__ == "__main__":
    main()
