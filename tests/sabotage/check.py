#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MPI ranks of which one fails, hangs or is killed in a phase of a step: all end, soon, in words, with a status that is not zero.

    check.py fail|hang|kill SABOTAGE FOLDER "LAUNCHER OPTIONS -n"
"""
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

POINTS = ("begin", "input", "forward", "loss", "backward", "reduce", "norm", "step", "save")
# pipeline, data, tensor, stage of sharded state
MESHES = ((1, 3, 1, 0), (3, 1, 1, 0), (1, 3, 1, 3), (1, 1, 3, 0), (1, 3, 1, 1))
PATIENCE = 90  # seconds: mpirun takes some on a busy machine; a hang would take all


def run(program, folder, launcher, point, how, mesh):
    ranks = mesh[0] * mesh[1] * mesh[2]
    begun = time.time()
    done = subprocess.run(launcher + [str(ranks), program, point, how, *map(str, mesh), str(folder)], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr, time.time() - begun


def main(how, program, folder, launcher):
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    launcher = launcher.replace(";", " ").split()
    status, said, _ = run(program, folder / "whole", launcher, "-", "none", MESHES[0])
    assert status == 0, f"nobody was sabotaged, and it ended with {status}:\n{said}"
    for i, point in enumerate(POINTS):
        if how == "hang" and i % 2 == 1:
            continue  # each costs the time-out and the farewell; ranks as threads are hung everywhere (tests/parallel/sabotage_test.cpp)
        mesh = MESHES[(i + len(how)) % len(MESHES)]
        status, said, seconds = run(program, folder / f"{point}", launcher, point, how, mesh)
        where = f"{how} at '{point}' on {mesh} after {seconds:.1f} s, status {status}:\n{said}"
        assert status != 0, where
        ours = [line for line in said.splitlines() if line.startswith("pleat:")]
        victim = 0 if point == "input" else mesh[0] * mesh[1] * mesh[2] - 1 if point == "loss" else 1
        if how == "fail":  # one sentence: which rank, where, what, and what to do
            walking = "parallel::walk: step 1, " if point in ("input", "forward", "loss", "backward") else ""
            assert len(ours) == 1, where
            assert re.fullmatch(rf"pleat: rank {victim}: {walking}.*test: sabotage at {point}\. Take the trap away", ours[0]), where
        elif how == "hang":  # of those who gave up (the lowest, if it is in time): which, where, for how long they waited for whom, what to do
            assert 1 <= len(ours) < mesh[0] * mesh[1] * mesh[2], where
            for sentence in ours:
                assert re.fullmatch(r"pleat: rank \d+: .*step [12].*: waited 2 s, and ranks? .* did not come\. \S.*", sentence), where
                assert not sentence.startswith(f"pleat: rank {victim}:"), where
        else:
            assert "rank" in said and ("illed" in said or "signal 9" in said), where  # the launcher's words
    print(how + ": good")


if __name__ == "__main__":
    main(*sys.argv[1:5])
