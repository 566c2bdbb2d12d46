# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""check.py PROGRAM JSON: trains on the digits and looks at the table."""
import json
import subprocess
import sys
from pathlib import Path

program, path = sys.argv[1:]
# What cannot be written is heard of before the first epoch.
early = subprocess.run([program, "--quiet", "--epochs", "100000", "--json", str(Path(path).parent / "absent" / "figures.json")], capture_output=True, text=True, timeout=60)
assert early.returncode != 0 and "cannot make a file in" in early.stderr, early
subprocess.run([program, "--quiet", "--epochs", "20", "--seed", "1", "--json", path], check=True)
stages = {s["name"]: s for s in json.load(open(path))["stages"]}
expected = ["float", "int8", "int8, rows by mean-square", *(f"int8, static by {o}" for o in ("min-max", "percentile 99.99", "kl")), "int8, gptq", "int8, trained",
            "int4/int8", "int4/int8, gptq", "int4/int8, trained"]
assert list(stages) == expected, list(stages)
floating = stages["float"]
assert floating["test_error"] < 0.1, floating
for name, s in stages.items():
    if name == "float":
        continue
    lost = s["test_error"] - floating["test_error"]
    assert lost <= (0.005 if name.startswith("int8") else 0.05), (name, lost)
    assert s["bytes"] < floating["bytes"] / (3 if name.startswith("int8") else 4), (name, s["bytes"])
print("ok:", len(stages), "stages")
