#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The checks' harness: what is left out for want of a launcher is said, and counts as skipped; a launcher's notice does not cut a sentence.

    check_program_test.py FOLDER
"""
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from check_program import words_of

SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from check_program import Check, main

class Some(Check):
    def threads(self):
        self.run("-c", "pass")
    def both(self):
        self.run("-c", "pass")
        for n in self.rank_counts()[:1]:
            self.run("-c", "pass", ranks=n)

main(Some)
"""


def main(folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    script = Path(folder) / "check.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    for method, launcher, status, words in (("threads", "", 0, "threads: good"), ("both", "", 4, "both: NOT CHECKED on ranks as processes"), ("both", "nice -n", 0, "both: good")):
        done = subprocess.run([sys.executable, script, method, sys.executable, Path(folder) / "work", launcher], capture_output=True, text=True)
        assert done.returncode == status and words in done.stdout, f"{method} with launcher '{launcher}': {done.returncode}\n{done.stdout}{done.stderr}"

    frame = "-" * 74 + "\n"
    sentence, other = "pleat: rank 0: waited 2 s, and rank 1 did not come. End the program\n", frame + "Primary job terminated: killed\n" + frame
    for cut in (0, 20, len(sentence)):
        errors = other + sentence[:cut] + frame + "MPI_ABORT was invoked on rank 0\nwith errorcode 1.\n" + frame + sentence[cut:] + other
        said = words_of(subprocess.CompletedProcess([], 1, "answers\n", errors))
        assert said == "answers\n" + other + sentence + other, said


if __name__ == "__main__":
    main(sys.argv[1])
