# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the checks of the examples have in common: programs run as a user would run them, in a folder of their own, alone or on ranks.

A check.py derives from Check, one method per test, and ends with `main(Itself)`:

    check.py METHOD PROGRAM... FOLDER "LAUNCHER OPTIONS -n"

The launcher may be empty: then ranks are threads only, what would have needed processes is named at the end, and the exit status is that
of a test that was skipped.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SKIPPED = 4  # the exit status that ctest counts as skipped


def words_of(done):
    """What a process that has ended said, without Open MPI's notice of an abort, which may fall into the middle of a rank's sentence."""
    return re.sub(r"-{70,}\nMPI_ABORT was invoked.*?\n-{70,}\n", "", done.stdout + done.stderr, flags=re.S)


class Check:
    def __init__(self, program, *others):
        *more, folder, launcher = others
        self.program, self.programs = program, [program, *more]
        self.prefix = []  # a command that runs what follows it
        self.folder, self.launcher = Path(folder), launcher.replace(";", " ").split()
        self.left_out = False
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def command(self, arguments, ranks=1, program=None):
        start = self.launcher + [str(ranks)] if ranks > 1 else []
        return self.prefix + start + [program or self.program] + [str(a) for a in arguments]

    def run(self, *arguments, ranks=1, program=None, fails=False):
        """What the program said; an error if it ended otherwise than expected."""
        done = subprocess.run(self.command(arguments, ranks, program), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
        said = words_of(done)
        assert (done.returncode != 0) == fails, f"{arguments} on {ranks} ranks ended with {done.returncode}:\n{said}"
        return said

    def demand_launcher(self):
        """For a check of ranks as processes: where there is no MPI it is skipped, and ctest says so."""
        if not self.launcher:
            print("skipped: there is no MPI, so there are no ranks as processes")
            sys.exit(SKIPPED)

    def has_launcher(self):
        """For the part of a check that wants ranks as processes: where there are none, main says at the end that it was left out."""
        self.left_out = self.left_out or not self.launcher
        return not self.left_out

    def ranks_of(self, launcher):
        """Process ids of the program under a launcher that runs, ascending: as a rule in the order of the ranks."""
        name = os.path.basename(self.program)[:15]
        return sorted(int(p.name) for p in Path("/proc").glob("[0-9]*") if self.descends(int(p.name), launcher.pid) and self.name_of(int(p.name)) == name)

    @staticmethod
    def stat(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return ""

    def name_of(self, pid):
        text = self.stat(pid)
        return text[text.find("(") + 1:text.rfind(")")]

    def descends(self, pid, ancestor):
        while pid > 1:
            if pid == ancestor:
                return True
            text = self.stat(pid)
            if not text:
                return False
            pid = int(text[text.rfind(")") + 2:].split()[1])
        return False

    def rank_counts(self):
        return (2, 3, 4) if self.has_launcher() else ()


def main(kind):
    check = kind(*sys.argv[2:])
    getattr(check, sys.argv[1])()
    if check.left_out:
        print(f"{sys.argv[1]}: NOT CHECKED on ranks as processes: there is no MPI. All the rest is good; this counts as skipped, so that it is seen")
        sys.exit(SKIPPED)
    print(sys.argv[1] + ": good")
