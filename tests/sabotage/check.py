#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MPI ranks of which one fails, hangs or is killed in a phase of a step: all end, soon, in words, with a status that is not zero, and what was
saved before loads.

    check.py fail|hang|kill SABOTAGE FOLDER "LAUNCHER OPTIONS -n"
"""
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from check_program import words_of

POINTS = ("begin", "input", "forward", "loss", "backward", "exchange", "reduce", "norm", "step", "save")
# pipeline, data, tensor, stage of sharded state
MESHES = ((1, 3, 1, 0), (2, 2, 1, 0), (1, 3, 1, 3), (2, 1, 2, 0), (3, 1, 1, 0), (1, 1, 3, 0), (1, 3, 1, 1))
# Where a step waits on the data axis alone, for gradients and then for parameters: what is missed has a name
NAMED = {"reduce": (1, 3, 1, 0), "step": (1, 3, 1, 1)}
PATIENCE = 90  # seconds: mpirun takes some on a busy machine; a hang would take all


def run(program, folder, launcher, point, how, mesh):
    ranks = mesh[0] * mesh[1] * mesh[2]
    begun = time.time()
    done = subprocess.run(launcher + [str(ranks), program, point, how, *map(str, mesh), str(folder)], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, words_of(done), time.time() - begun


def main(how, program, folder, launcher):
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    launcher = launcher.replace(";", " ").split()
    status, said, _ = run(program, folder / "whole", launcher, "-", "none", MESHES[0])
    assert status == 0, f"nobody was sabotaged, and it ended with {status}:\n{said}"
    trials = [(point, MESHES[(i + len(how)) % len(MESHES)]) for i, point in enumerate(POINTS)]
    for point, mesh in trials + (list(NAMED.items()) if how == "hang" else []):
        at = folder / f"{point}-{'-'.join(map(str, mesh))}"
        status, said, seconds = run(program, at, launcher, point, how, mesh)
        where = f"{how} at '{point}' on {mesh} after {seconds:.1f} s, status {status}:\n{said}"
        assert status != 0, where
        ours = [line for line in said.splitlines() if line.startswith("pleat:")]
        victim = 0 if point in ("input", "exchange") else mesh[0] * mesh[1] * mesh[2] - 1 if point == "loss" else 1
        if how == "fail":  # one sentence: which rank, where, what, and what to do
            walking = "parallel::walk: step 1, " if point in ("input", "forward", "loss", "backward", "exchange") else ""
            assert len(ours) == 1, where
            assert re.fullmatch(rf"pleat: rank {victim}: {walking}.*test: sabotage at {point}\. Take the trap away", ours[0]), where
        elif how == "hang":
            # Of those who gave up (the lowest, if it is in time): which, where, for how long they waited for whom, what to do. Sums that a rank has
            # begun before it hangs do not end without it, either.
            assert 1 <= len(ours) < mesh[0] * mesh[1] * mesh[2], where
            for sentence in ours:
                assert re.fullmatch(r"pleat: rank \d+: .*step [12].*: waited 2 s, and (ranks? .* did not come|the operation did not end, although every rank had entered it)( \(.*\))?\. \S.*", sentence), where
                assert not sentence.startswith(f"pleat: rank {victim}:"), where
                if NAMED.get(point) == mesh and "step 1, " in sentence:
                    assert re.search(r"step 1, .*: the (gradients of|parameters) '[^']+'", sentence), where
        else:
            # The launcher's words: which rank (MPICH's: which process), and of what. Survivors are ended, or say which rank they are, what came to nothing, and what to do.
            assert re.search(rf"(?i)\brank {victim}\b|BAD TERMINATION.*\bPID \d+ RUNNING", said, re.S) and re.search(r"(?i)killed|signal:? 9", said), where
            assert len(ours) < mesh[0] * mesh[1] * mesh[2], where
            assert all(re.fullmatch(rf"pleat: rank (?!{victim}:)\d+: .+\. \S.*", sentence) for sentence in ours), where
        loads(program, at, launcher, where)
    if how == "kill":
        killed_while_saving(program, folder, launcher)
    print(how + ": good")


def loads(program, folder, launcher, where):
    """Step 0 was saved, and it is what is found: the end came in step 1, before its save was whole. Under another layout than it was saved."""
    status, said, _ = run(program, folder, launcher, "-", "load", (2, 1, 1, 0))
    assert status == 0 and "the newest checkpoint is whole: step 1\n" in said, f"{said}\nafter {where}"


def killed_while_saving(program, folder, launcher):
    """A rank is killed within a shared save, before its first byte or within one of its files; with room for all of them nobody is."""
    for i, (rank, room, mesh) in enumerate(((1, 0, (3, 1, 1, 0)), (0, 700, (1, 3, 1, 0)), (2, 0, (1, 3, 1, 3)), (1, 1700, (1, 1, 3, 0)), (0, 1000000, (3, 1, 1, 0)))):
        at = folder / f"saving{i}"
        status, said, seconds = run(program, at, launcher, f"saving:{rank}:{room}", "kill", mesh)
        found = sorted(p.name for p in at.glob("step-*[0-9]"))
        where = f"rank {rank} killed when it had written {room} bytes on {mesh} after {seconds:.1f} s, status {status}, {found}:\n{said}"
        if room == 1000000:
            assert status == 0 and "step-3" in found, where
            continue
        assert status != 0 and re.search(rf"(?i)\brank {rank}\b|BAD TERMINATION.*\bPID \d+ RUNNING", said, re.S) and re.search(r"(?i)killed|signal:? 9", said), where
        assert found == ["step-1"], where
        loads(program, at, launcher, where)


if __name__ == "__main__":
    main(*sys.argv[1:5])
