# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the library has set itself to reach, and which rows of a benchmark run tell: the table at the head of docs/performance.md.

An aim takes figures from the rows (one for each row that it speaks of) and compares the worst of them with its bar. Rows that a run does not have
are said to be missing; an aim is never taken as met for want of rows. `chance` takes what the same rows give where both sides are the peer: it is told
beside the worst, and excuses nothing. `known` takes the intervals of the figures, (low, high) for each row, and is told likewise. A line whose `asked` is false
stands beside an aim that does not speak of its rows: it says how they lie to the bar, and is no aim. A bar may depend on what the processor has, which
the run says ("isa" of its context, from bench/support/main.cpp); aims without a bar for it are left out.
"""
import collections
import math
import re

Aim = collections.namedtuple("Aim", "what bar at_least figures mean chance known asked", defaults=(False, None, None, True))


ISAS = {"avx512+vnni": "AVX-512 with VNNI", "avx512": "AVX-512 without VNNI", "avx2": "AVX2", "scalar": "no vectors"}


def rows(ours, pattern):
    return [n for n in ours if re.fullmatch(pattern, n)]


def over_peer(pattern, who):
    """The peer's time / ours: above 1 we are faster."""
    return lambda ours, peers: {n: peers[n][who].time / ours[n].time for n in rows(ours, pattern) if who in peers.get(n, {})}


def of_peer(pattern, who):
    """Our time / the peer's."""
    return lambda ours, peers: {n: ours[n].time / peers[n][who].time for n in rows(ours, pattern) if who in peers.get(n, {})}


def counter(pattern, key):
    return lambda ours, peers: {n: ours[n].counters[key] for n in rows(ours, pattern) if key in ours[n].counters}


def over_row(pattern, other):
    """The time of the row that `other` (a replacement for the pattern) names / this row's."""
    return lambda ours, peers: {n: ours[o].time / ours[n].time for n in rows(ours, pattern) if (o := re.sub(pattern, other, n)) in ours}


def milliseconds(pattern):
    return lambda ours, peers: {n: ours[n].time / 1e6 for n in rows(ours, pattern)}


def per_second(pattern, key):
    """A rate in millions."""
    return lambda ours, peers: {n: ours[n].counters[key] / 1e6 for n in rows(ours, pattern) if key in ours[n].counters}


def over_blas(form, batches):
    return lambda ours, peers: {n: peers[f]["openblas"].time / ours[n].time for b in batches
                                if (n := f"stored/{form}/apply/{b}") in ours and "openblas" in peers.get(f := f"float/apply/{b}", {})}


def interval(pattern, key):
    return lambda ours, peers: {n: (c[f"{key}_low"], c[f"{key}_high"]) for n in rows(ours, pattern) if {f"{key}_low", f"{key}_high"} <= (c := ours[n].counters).keys()}


def two_ranks(end=""):
    """Two ranks of one thread at batch 256 and above: the larger of speed-up / 1.95 and the share of two ranks that do not talk / 0.97. `end`: of a bound of both."""
    speedup, share = f"speedup{end}", f"share{end}"
    return lambda ours, peers: {n: max(ours[n].counters[speedup] / 1.95, ours[n].counters[share] / 0.97) for n in batches(ours, lambda b: b >= 256) if {speedup, share} <= ours[n].counters.keys()}


def small_batches(end=""):
    """The share of two ranks that do not talk below batch 256."""
    return lambda ours, peers: {n: ours[n].counters[f"share{end}"] for n in batches(ours, lambda b: b < 256) if f"share{end}" in ours[n].counters}


def batches(ours, are):
    return [n for n in rows(ours, r"train_step/.+/thread_ranks:2") if are(int(re.search(r"/batch:(\d+)", n).group(1)))]


def bounds(of):
    """The interval of figures of which `of` gives the ends."""
    return lambda ours, peers: {n: (low, high[n]) for high in [of("_high")(ours, peers)] for n, low in of("_low")(ours, peers).items() if n in high}


def with_vnni(vnni, without):
    """Of rows that use all that the processor has."""
    return {"avx512+vnni": vnni, "avx512": without, "avx2": without}


def beside_avx512(bar):
    """Of rows /isa:avx2, which scripts/bench.sh runs where there is more."""
    return {"avx512+vnni": bar, "avx512": bar}


TRAINING = r"gemm/f32/(\d+x\d+x\d+/(nt|tn)|(64|256)x(300x100|100x10))/threads:1"
SECTION_5 = r"(1x20x5x5@28|20x50x5x5@12|16x16x3x3@32/padding:1|16x32x3x3@32/padding:1|32x32x3x3@32/padding:1|64x64x3x3@32/padding:1)"
AIMS = [
    Aim("`comm` over a call written by hand, 8 B to 64 MiB: time", 1.02, False, counter(r"comm/ratio/.+", "ratio_median"), chance=counter(r"comm/ratio/.+", "ratio_itself")),
    Aim("float product, every shape, one thread: speed over OpenBLAS", 0.93, True, over_peer(r"gemm/f32/.+/threads:1", "openblas")),
    Aim("… over the shapes of training: geometric mean", 1.0, True, over_peer(TRAINING, "openblas"), True),
    Aim("convolution, forward and both gradients, one thread: speed over PyTorch", 1.0, True, over_peer(rf"conv2d/(forward|backward_input|backward_weight)/{SECTION_5}/batch:\d+/threads:1", "pytorch")),
    Aim("… two threads", 1.0, True, over_peer(rf"conv2d/(forward|backward_input|backward_weight)/{SECTION_5}/batch:\d+/threads:2", "pytorch")),
    Aim("int8 product, K ≥ 512, one thread: speed over our float product", with_vnni(3.0, 1.5), True, over_row(r"int8_gemm/(\d+x\d+x(?:512|784|1024|1536|4096))/threads:1", r"gemm/f32_for_int8/\1/threads:1")),
    Aim("… with AVX2", beside_avx512(1.5), True, over_row(r"int8_gemm/(\d+x\d+x(?:512|784|1024|1536|4096))/threads:1/isa:avx2", r"gemm/f32_for_int8/\1/threads:1/isa:avx2")),
    Aim("train step: time over PyTorch's", 0.80, False, of_peer(r"train_step/.+/threads:\d", "pytorch")),
    Aim("train step, two ranks, batch ≥ 256: 1.95 × one rank or 0.97 of ranks that do not talk, whichever is nearer", 1.0, True, two_ranks(), known=bounds(two_ranks)),
    Aim("… smaller batches, should it speak of these too: share of ranks that do not talk", 0.97, True, small_batches(), known=bounds(small_batches), asked=False),
    Aim("deterministic mode, batch ≥ 64: time over the fast mode", 1.5, False,
        lambda ours, peers: {n: 1 / v for n, v in over_row(r"(train_step/.+)/deterministic/(threads:1)", r"\1/\2")(ours, peers).items()}),
    Aim("host cost per parameter tensor and step: µs", 2.0, False, counter(r"host_cost/.+", "us/parameter")),
    Aim("redistribution planned for 4,096 ranks: ms", 10.0, False, milliseconds(r"plan/.+")),
    Aim("schedule simulator: million actions per second", 10.0, True, per_second(r"schedule/simulate/.+", "items_per_second")),
    Aim("pipeline of 2, 32 micro-batches: share of the schedule's bound", 0.95, True, counter(r"pipeline/.+/micro_batches:32", "share_of_bound")),
    Aim("zero bubble over 1F1B at 4 micro-batches: speed", 1.0, True, over_row(r"pipeline/zb-(h1|v)(/.+/micro_batches:4)", r"pipeline/1f1b\2")),
    Aim("tensor axis of 2, 384-wide block: share of ranks that do not talk", 0.92, True, counter(r"tensor_axis/.+", "share")),
    Aim("state stage 1: time over stage 0's", 1.0, False, counter(r"state/.+/stage:1", "ratio")),
    Aim("state stage 3: time over stage 0's", 1.15, False, counter(r"state/.+/stage:3", "ratio")),
    Aim("exposed communication, data-parallel GPT over a modelled link: share", 0.10, False, counter(r"exposed_communication/.+/link:.+", "exposed"), known=interval(r"exposed_communication/.+/link:.+", "exposed")),
    Aim("q8_0, q4_0 at batch 1: speed over ggml", 1.2, True, over_peer(r"stored/q[48]_0/apply/1", "ggml")),
    Aim("q8_0, q4_0 at batch 32 and 64: speed over ggml", 1.5, True, over_peer(r"stored/q[48]_0/apply/(32|64)", "ggml")),
    Aim("q8_0 at batch 1: speed over float", 2.5, True, counter(r"stored/q8_0/apply/1", "float_over_this")),
    Aim("q4_0 at batch 1: speed over float", 3.0, True, counter(r"stored/q4_0/apply/1", "float_over_this")),
    Aim("q8_0 at batch 8 to 64: speed over OpenBLAS in float", 1.2, True, over_blas("q8_0", (8, 32, 64))),
    Aim("q4_0 at batch 8 to 64: speed over OpenBLAS in float", 1.2, True, over_blas("q4_0", (8, 32, 64))),
    Aim("csr at 90 % zeros, batch 1: speed over float", 3.0, True, counter(r"stored/csr/apply/1", "float_over_this")),
    Aim("int8 networks at batch 64: speed over float", with_vnni(2.5, 1.4), True, counter(r"network/.+/int8_[a-z]+/batch:64", "float_over_this")),
    Aim("… with AVX2", beside_avx512(1.4), True, counter(r"network/.+/int8_[a-z]+/batch:64/isa:avx2", "float_over_this")),
    Aim("half of the multiply-adds pruned away: speed over the whole network", 1.7, True, counter(r"pruned/.+", "whole_over_this")),
    Aim("ggml's forms of one scale encoded into memory that is there: share of a copy's speed", 0.5, True, over_row(r"stored/(q8_0|q[45]_[01])/encode_into", "memory/copy")),
    Aim("ggml's K-types likewise, each piece's scale its range", 0.5, True, over_row(r"stored/q[46]_K/encode_into/no_search", "memory/copy")),
    Aim("… with the reference's search and bytes", 0.5, True, over_row(r"stored/q[46]_K/encode_into", "memory/copy")),
    Aim("threshold of the largest by magnitude: how often each number is read", 3, False, counter(r"threshold_of_top_k/f32/100000000/.+", "reads")),
    Aim("entropy coder: MB of float weights decoded per second", 500.0, True,
        lambda ours, peers: {n: 4 * v for n, v in per_second(r"stored/coded/decode", "weights_per_second")(ours, peers).items()}),
]


def judge(ours, peers, isa=None):
    """(aim with its bar, worst figure or None, its row or why there is none, whether it holds or None)"""
    for aim in AIMS:
        if isinstance(aim.bar, dict):
            if isa is not None and isa not in aim.bar:
                continue
            if not isa:
                yield aim._replace(bar=None), None, "the run does not say what the processor has", None
                continue
            aim = aim._replace(bar=aim.bar[isa], what=aim.what if aim.what.startswith("…") else f"{aim.what} ({ISAS[isa]})")
        figures = aim.figures(ours, peers)
        if not figures:
            yield aim, None, "no row in this run", None
            continue
        worst = None
        if aim.mean:
            value, row = math.exp(sum(math.log(v) for v in figures.values()) / len(figures)), f"{len(figures)} rows"
        else:
            worst, value = (min if aim.at_least else max)(figures.items(), key=lambda f: f[1])
            row = worst.replace("comm/ratio/", "comm/")  # the row's name where the page shows it
            row = f"`{row}`" if len(figures) == 1 else f"`{row}`, the worst of {len(figures)}"
        if aim.chance and (itself := aim.chance(ours, peers)):
            row += f"; the peer beside itself {min(itself.values()):.3f} to {max(itself.values()):.3f}"
        if aim.known and worst in (known := aim.known(ours, peers)):
            row += f"; known to lie within {math.floor(known[worst][0] * 1000 + 1e-9) / 1000:.3f} to {math.ceil(known[worst][1] * 1000 - 1e-9) / 1000:.3f}"
        yield aim, value, row, value >= aim.bar if aim.at_least else value <= aim.bar


def figure(value, at_least):
    """Rounded against us, to three digits."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 2
    scale = 10.0 ** digits
    return f"{(math.floor(value * scale + 1e-9) if at_least else math.ceil(value * scale - 1e-9)) / scale:,.{digits}f}"


def aims_table(ours, peers, isa=None):
    lines = []
    for aim, value, row, holds in judge(ours, peers, isa):
        bar = "" if aim.bar is None else f"{'≥' if aim.at_least else '≤'} {aim.bar:g}"
        if value is None:
            lines.append([aim.what, bar, "", row, "not measured"])
        else:
            verdict = ("holds" if holds else "**missed**") if aim.asked else "within, not asked" if holds else "**outside**, not asked"
            lines.append([aim.what, bar, figure(value, aim.at_least), row, verdict])
    return lines
