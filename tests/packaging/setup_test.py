# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What scripts/setup.sh says, asks and changes, on machines that are not there: a path with stand-ins for apt, sudo and CMake and
nothing else, apt's folder elsewhere (PLEAT_APT_DIR), a copy of the script in a tree of its own.

    setup_test.py SOURCE SCRATCH
"""
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

source, scratch = Path(sys.argv[1]), Path(sys.argv[2])
TOOLS = "bash env mkdir cksum sed head tail sort cat rm tr tee sha256sum mv tar dirname ls".split()
# Each is told the folder of its machine as $M, and writes down how it was called where it would have changed something.
STAND_INS = {
    "id": 'echo "$UID_OF_MACHINE"',
    "stat": "echo 1",
    # nobody's /etc/os-release is read, and no control group: a person's Debian
    "grep": 'case "$*" in *os-release*) exit 0 ;; */proc/1/cgroup*) exit 1 ;; esac; exec %(grep)s "$@"',
    "sudo": 'echo "sudo $*" >>"$M/done"; exec "$@"',
    "ar": 'echo "ar $*" >>"$M/done"',
    "curl": "exit 7",
    "c++": "exit 1",
    "ninja": "exit 1",
    # finds a Kokkos where apt has installed one
    "cmake": 'for last; do :; done; grep -q libkokkos-dev "$M/installed" || exit 1; mkdir -p "$last"; echo "5.2.2 /usr/kokkos" >"$last/found"',
}
APT = {
    "apt-get": """case $1 in
  indextargets) echo "http://mirror.invalid/debian/|bookworm|Debian|$M/base.sources:1"; exit 0 ;;
  install) for name; do case $name in -*) ;; *) echo "$name" >>"$M/installed" ;; esac; done ;;
esac
echo "apt-get $*" >>"$M/done\"""",
    "apt-cache": """case "$*" in
  *policy*libkokkos-dev) [[ -e $PLEAT_APT_DIR/sources.list.d/pleat-kokkos.sources ]] && echo "  Candidate: 5.2.2-2" || echo "  Candidate: (none)" ;;
  *policy*catch2) echo "  Candidate: 3.3.2-1" ;;
  *depends*) echo "  Depends: libkokkos5.2" ;;
esac""",
    "dpkg-query": 'for last; do :; done; grep -qx "$last" "$M/installed" || exit 1; case "$*" in *Version*) echo 3.7.1 ;; *) echo "ii " ;; esac',
}


class Machine:
    def __init__(self, name, apt=True, kokkos=False, root=False, extra=(), environment=None):
        self.folder = scratch / name
        shutil.rmtree(self.folder, ignore_errors=True)
        path, tree = self.folder / "bin", self.folder / "tree"
        for part in (path, tree / "scripts", self.folder / "apt/sources.list.d", self.folder / "apt/preferences.d"):
            part.mkdir(parents=True)
        shutil.copy(source / "scripts/setup.sh", tree / "scripts")
        for tool in TOOLS:
            (path / tool).symlink_to(shutil.which(tool))
        for tool, text in {**STAND_INS, **(APT if apt else {}), **dict.fromkeys(extra, "exit 0")}.items():
            (path / tool).write_text(f"#!{path}/bash\n" + text.replace("%(grep)s", shutil.which("grep")) + "\n")
            (path / tool).chmod(0o755)
        (self.folder / "base.sources").write_text("Types: deb\nSigned-By: /usr/share/keyrings/base.gpg\n")
        (self.folder / "installed").write_text("libkokkos-dev\n" if kokkos else "")
        (self.folder / "done").write_text("")
        self.command = [str(path / "bash"), str(tree / "scripts/setup.sh")]
        self.environment = {"PATH": str(path), "M": str(self.folder), "PLEAT_APT_DIR": str(self.folder / "apt"), "LC_ALL": "C",
                            "UID_OF_MACHINE": "0" if root else "1000", **(environment or {})}

    def run(self, *arguments):
        """Without a terminal."""
        ended = subprocess.run(self.command + list(arguments), env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stdout + ended.stderr

    def run_before(self, answer):
        """At a terminal, before somebody who answers each question by answer(its words)."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen(self.command, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        said = asked = ""
        while True:
            try:
                piece = os.read(ours, 4096).decode(errors="replace")
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            said, asked = said + piece, asked + piece
            if "go on? [y/N] " in asked:
                os.write(ours, (answer(asked) + "\n").encode())
                asked = ""
        os.close(ours)
        return child.wait(timeout=60), said.replace("\r\n", "\n")

    def done(self):
        return (self.folder / "done").read_text()

    def changed(self):
        """Files in apt's folder, ours."""
        return sorted(p.name for p in (self.folder / "apt").glob("*/*"))


def demand(good, what, said):
    if not good:
        sys.exit(f"--- {what}; it said:\n{said}")


def untouched(machine, said):
    demand(machine.done() == "" and machine.changed() == [], f"it changed something: {machine.done()}{machine.changed()}", said)


BY_APT = "this would change your machine: install "

# Somebody says no, or nothing, or something else: no is meant, and nothing has happened.
for word in ("n", "", "nay", "later"):
    machine = Machine("says_" + (word or "nothing"))
    code, said = machine.run_before(lambda asked: word)
    demand(code == 1 and said.count("go on? [y/N]") == 1, f"'{word}' is no yes (exit code {code})", said)
    demand(BY_APT in said and "zlib1g-dev" in said, "it does not say what it would change", said)
    demand("pleat: these packages are missing: " in said.splitlines()[-1], "the last line does not say what is missing", said)
    untouched(machine, said)

# Nobody is there to ask.
machine = Machine("nobody")
code, said = machine.run()
demand(code == 1 and "go on?" not in said, f"it asks nobody (exit code {code})", said)
demand("nobody is there to ask: install " in said and "scripts/setup.sh --yes goes on without asking" in said, "it does not say how to go on", said)
demand("these packages are missing" in said, "it does not say what is missing", said)
untouched(machine, said)

# Each change is asked about by itself: packages yes, other suites no.
machine = Machine("in_parts")
code, said = machine.run_before(lambda asked: "n" if "add the suites" in asked else "y")
demand(code == 1 and "install zlib1g-dev" not in machine.done() and " zlib1g-dev" in machine.done(), "what was allowed was not done", said)
demand("add the suites trixie" in said and "upgrades libc" in said, "it does not say what other suites do", said)
demand("no Kokkos: install one from 4.7 up to 5.x" in said and machine.changed() == [], "the suites were refused", said)

# All of it: by --yes, by the environment, by answers, and as root where the machine is nobody's.
OURS = ["pleat-kokkos", "pleat-kokkos.sources"]
for name, how, options in (("yes", lambda m: m.run("--yes"), {}), ("environment", lambda m: m.run(), {"environment": {"PLEAT_YES": "yes"}}),
                           ("answers", lambda m: m.run_before(lambda asked: "y"), {}),
                           ("ci", lambda m: m.run(), {"root": True, "environment": {"CI": "1"}})):
    machine = Machine("all_" + name, **options)
    code, said = how(machine)
    demand(code == 0 and said.endswith("pleat: the machine is set up\n"), f"{name}: it is not set up (exit code {code})", said)
    demand(("go on?" in said) == (name == "answers") and "nobody is there" not in said, f"{name}: who was asked?", said)
    demand(machine.changed() == OURS, f"{name}: in apt's folder is {machine.changed()}", said)
    written = (machine.folder / "apt/sources.list.d/pleat-kokkos.sources").read_text()
    demand("URIs: http://mirror.invalid/debian\n" in written and "Signed-By: /usr/share/keyrings/base.gpg\n" in written, "not the machine's own mirror and key", written)
    demand("-t trixie" in machine.done() and "libkokkos5.2" in machine.done() and " catch2" in machine.done(), "not all was installed", machine.done())
    demand(("sudo " in machine.done()) == (name != "ci"), "root needs no sudo, others do", machine.done())
    before = machine.done()
    code, said = machine.run()  # again: nothing to do, nothing to ask
    demand(code == 0 and said == "" and machine.done() == before, f"{name}: the second time is not quiet", said + machine.done())

# Without apt: what is needed is said; where it is there, nothing is asked.
machine = Machine("no_apt", apt=False, kokkos=True)
code, said = machine.run()
demand(code == 1 and "'mpirun' is not here, and this is not a machine with apt. Needed: CMake >= 3.25" in said, "it does not say what is needed", said)
machine = Machine("no_apt_whole", apt=False, kokkos=True, extra=("mpirun",))
code, said = machine.run()
demand(code == 0 and "way 1: CMake finds Kokkos 5.2.2 /usr/kokkos" in said and said.endswith("pleat: the machine is set up\n"), "it has all that is needed", said)
untouched(machine, said)
print("12 machines were asked, changed or left alone as their people said")
