# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the checks of the examples have in common: programs run as a user would run them, in a folder of their own, alone or on ranks.

A check.py derives from Check, one method per test, and ends with `main(Itself)`:

    check.py METHOD PROGRAM... FOLDER "LAUNCHER OPTIONS -n"

The launcher may be empty: then ranks are threads only.
"""
import shutil
import subprocess
import sys
from pathlib import Path


class Check:
    def __init__(self, program, *others):
        *more, folder, launcher = others
        self.program, self.programs = program, [program, *more]
        self.prefix = []  # a command that runs what follows it
        self.folder, self.launcher = Path(folder), launcher.replace(";", " ").split()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def command(self, arguments, ranks=1, program=None):
        start = self.launcher + [str(ranks)] if ranks > 1 else []
        return self.prefix + start + [program or self.program] + [str(a) for a in arguments]

    def run(self, *arguments, ranks=1, program=None, fails=False):
        """What the program said; an error if it ended otherwise than expected."""
        done = subprocess.run(self.command(arguments, ranks, program), capture_output=True, text=True, timeout=200)
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{arguments} on {ranks} ranks ended with {done.returncode}:\n{said}"
        return said

    def demand_launcher(self):
        """For a check of ranks as processes: where there is no MPI it is skipped, and ctest says so."""
        if not self.launcher:
            print("skipped: there is no MPI, so there are no ranks as processes")
            sys.exit(4)

    def rank_counts(self):
        return (2, 3, 4) if self.launcher else ()


def main(kind):
    getattr(kind(*sys.argv[2:]), sys.argv[1])()
    print(sys.argv[1] + ": good")
