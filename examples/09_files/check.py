# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tests of the program `inspect`: check.py trained|by_hand|every_form|refusals PROGRAM TRAIN_SHRINK_RUN EVERY_FORM SCRATCH"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys

what, program, trainer, every_form, scratch = *sys.argv[1:5], pathlib.Path(sys.argv[5])
shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)


def run(*arguments, code=0):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True)
    out, said = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{out}{said}"
    return out + said


def figures(*arguments):
    printed = run(*arguments, "--json")
    run(*arguments, "--json", scratch / "figures.json")
    assert printed == (scratch / "figures.json").read_text()
    return json.loads(printed)


def safetensors(path, tensors, metadata=None):
    """tensors: {name: (dtype, shape, bytes)}, in the order of their data"""
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(d for _, _, d in tensors.values()))


def gguf(path, tensors, keys):
    """tensors: {name: (ggml type, extents innermost first, bytes)}; keys: {name: text}"""
    string = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for k, v in keys.items():
        head += string(k) + struct.pack("<I", 8) + string(v)
    data = b""
    for name, (kind, extents, b) in tensors.items():
        head += string(name) + struct.pack("<I", len(extents)) + b"".join(struct.pack("<Q", e) for e in extents) + struct.pack("<IQ", kind, len(data))
        data += b + bytes(-len(b) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + data)


if what == "trained":
    out, checkpoint = scratch / "out", scratch / "checkpoint"
    subprocess.run([trainer, "--model", "mlp:64-32-10", "--epochs", "2", "--out", str(out), "--checkpoint", str(checkpoint), "--quiet", "--threads", "1"], check=True, capture_output=True)
    large, small = figures(out / "model.safetensors"), figures(out / "compressed.safetensors", "--against", out / "model.safetensors", "--check")
    assert large["format"] == "safetensors" and large["elements"] == 64 * 32 + 32 + 32 * 10 + 10
    assert large["effective_bits"] == 32 and all(w["form"] == "dense" and w["type"] == "F32" for w in large["weights"])
    assert large["file_bytes"] == (out / "model.safetensors").stat().st_size
    by_name = {w["name"]: w for w in small["weights"]}
    assert set(by_name) == {w["name"] for w in large["weights"]}
    coded = [w for w in by_name.values() if w["form"] == "int8"]
    assert coded and all(w["effective_bits"] < 9 and w["decodable"] and w["error"]["source"] == "measured" and w["error"]["max"] > 0 for w in coded), small
    assert small["bytes"] < large["bytes"] / 4 and small["elements"] == large["elements"]
    text = run(out / "compressed.safetensors", "--against", out / "model.safetensors")
    assert all(n in text for n in by_name) and "int8" in text and "safetensors, " in text
    c = figures(checkpoint)
    assert c["format"] == "checkpoint" and c["step"] > 0 and c["groups"]["parameters"]["elements"] == large["elements"], c
    assert "group parameters" in run(checkpoint)
elif what == "by_hand":
    # 3 numbers of a 2 x 3 matrix, as CSR; a bfloat16 vector; the error that a writer knew
    safetensors(
        scratch / "a.safetensors",
        {"w.row": ("U32", [3], struct.pack("<3I", 0, 2, 3)), "w.values": ("F32", [3], struct.pack("<3f", 1, 2, 3)), "w.column": ("U16", [3], struct.pack("<3H", 0, 2, 1)), "b": ("BF16", [2], b"\x80\x3f\x00\x40")},
        {"pleat.format": "1", "pleat.form.w": "csr", "pleat.shape.w": "[2, 3]", "pleat.error.w": "0.5 1.25", "who": "by \u001b[31m hand"},
    )
    f = figures(scratch / "a.safetensors", "--check")
    w = {x["name"]: x for x in f["weights"]}
    assert w["w"]["form"] == "csr" and w["w"]["shape"] == [2, 3] and w["w"]["bytes"] == 30 and w["w"]["effective_bits"] == 40
    assert w["w"]["error"] == {"max": 0.5, "frobenius": 1.25, "source": "file"} and w["w"]["decodable"]
    assert w["b"]["type"] == "BF16" and w["b"]["effective_bits"] == 16 and "error" not in w["b"]
    assert "\x1b" not in run(scratch / "a.safetensors", "--metadata")
    # the dense matrix that it is: nothing is lost
    safetensors(scratch / "dense.safetensors", {"w": ("F32", [2, 3], struct.pack("<6f", 1, 0, 2, 0, 3, 0))})
    w = {x["name"]: x for x in figures(scratch / "a.safetensors", "--against", scratch / "dense.safetensors")["weights"]}
    assert w["w"]["error"] == {"max": 0, "frobenius": 0, "source": "measured"}, w
    # names that only one of the files has are listed, on both sides
    f = figures(scratch / "a.safetensors", "--against", scratch / "dense.safetensors")
    assert f["only_here"] == ["b"] and f["only_there"] == [], f
    f = figures(scratch / "dense.safetensors", "--against", scratch / "a.safetensors")
    assert f["only_here"] == [] and f["only_there"] == ["b"], f
    said = run(scratch / "a.safetensors", "--against", scratch / "dense.safetensors")
    assert "only here (1): b\n" in said and "only there" not in said, said
    said = run(scratch / "dense.safetensors", "--against", scratch / "a.safetensors")
    assert "only there (1): b\n" in said and "only here" not in said, said
    assert "only_here" not in figures(scratch / "a.safetensors")
    # GGUF: a type that is a form, a plain one, one that pleat has no form for
    gguf(scratch / "m.gguf", {"q": (8, [32, 2], bytes(68)), "f": (0, [3], struct.pack("<3f", 1, 2, 3)), "k": (10, [256], bytes(84))}, {"general.architecture": "test", "general.name": "n"})
    f = figures(scratch / "m.gguf", "--check")
    w = {x["name"]: x for x in f["weights"]}
    assert f["format"] == "GGUF" and f["metadata"]["general.name"] == "n"
    assert w["q"]["form"] == "q8_0" and w["q"]["type"] == "Q8_0" and w["q"]["shape"] == [2, 32] and w["q"]["effective_bits"] == 8.5
    assert w["f"]["form"] == "dense" and w["k"]["form"] == "" and w["k"]["type"] == "Q2_K" and not w["k"]["decodable"]
    assert "(none)" in run(scratch / "m.gguf")
elif what == "every_form":
    path = scratch / "forms.safetensors"
    subprocess.run([every_form, path], check=True)
    first = path.read_bytes()
    subprocess.run([every_form, path], check=True)
    assert path.read_bytes() == first
    w = {x["name"]: x for x in figures(path, "--check")["weights"]}
    assert len(w) == 18 and all(x["decodable"] for x in w.values())
    # bits by the formats' definitions; exact forms lose nothing
    for form, bits in {"dense": 32, "bf16": 16, "q8_0": 8.5, "q6_K": 6.5625, "q5_1": 6, "q5_0": 5.5, "q4_K": 4.5, "q4_1": 5, "q4_0": 4.5, "int4_g32": 4.5, "int4_g128": 4.125, "2:4": 17}.items():
        assert w[form]["effective_bits"] == bits, w[form]
    for form in ("csr", "block_1x4", "bitmask"):
        assert w[form]["error"]["max"] == 0 and w[form]["effective_bits"] < 16, w[form]
    assert w["coded"]["effective_bits"] < 1 and w["q8_0"]["error"]["frobenius"] < w["q6_K"]["error"]["frobenius"] < w["q5_0"]["error"]["frobenius"] < w["q4_0"]["error"]["frobenius"]
elif what == "refusals":
    bad = scratch / "bad"

    def refused(words, *arguments):
        said = run(bad, *arguments, code=1)
        assert words in said and said.startswith("pleat: "), f"expected '{words}', found: {said}"

    refused("No such file")
    bad.write_bytes(b"")
    refused("the file has 0 bytes")
    bad.write_bytes(b"hello world, this is text")
    refused("this is no safetensors file")
    bad.write_bytes(b"GGUF\x04\0\0\0" + bytes(16))
    refused("version 4 of the format")
    one = {"w": ("F32", [2], bytes(8))}
    safetensors(bad, one, {"pleat.format": "7"})
    refused("by version 7 of pleat's rules, this pleat knows 1 at most")
    safetensors(bad, one, {"pleat.form.w": "csr", "pleat.shape.w": "[1, 2]"})
    run(bad)
    refused("'w': a part '' does not belong to this form", "--check")
    claims = {f"w{i}": ("F32", [2], bytes(8)) for i in range(9)}
    safetensors(bad, claims, {key + name: words for name in claims for key, words in (("pleat.form.", "csr"), ("pleat.shape.", f"[{2**60}]"))})
    refused("more numbers together than 63 bits can count")
    safetensors(bad, one, {"pleat.error.w": "much"})
    refused("expected two numbers")
    safetensors(bad, one)
    before = bad.read_bytes()
    refused("is the file that is read (FILE)", "--json", str(bad))
    assert bad.read_bytes() == before, "the file that was looked at is not what it was"
    whole = bad.read_bytes()
    for n in range(len(whole)):
        bad.write_bytes(whole[:n])
        refused("byte")
    if pathlib.Path("/dev/full").exists():
        bad.write_bytes(whole)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program, bad], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1 and "what was printed could not be written" in done.stderr, done
    bad.unlink()
    bad.mkdir()
    run(bad, code=1)  # a folder without a checkpoint
    assert "required" in run(code=106)
else:
    sys.exit(f"unknown part '{what}'")
