#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs train_shrink_run as a user would and looks at what it leaves.

    check.py promise|same_bytes|kill_and_resume|kill_ranks_and_resume|dead_rank|bad_input|full_disk PROGRAM FOLDER "LAUNCHER OPTIONS -n"
"""
import gzip
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main

DIGITS = Path(__file__).parents[1] / "data" / "digits"


class TrainShrinkRun(Check):
    # --- what the tutorial promises ----------------------------------------------------------------------------------------------
    def promise(self):
        for model in ("lenet-300-100", "lenet-5", "mlp:64-32-10"):
            out = self.folder / model.replace(":", "_")
            said = self.run("--model", model, "--epochs", 12, "--batch", 32, "--learning-rate", 2e-3, "--out", out, "--json", out.with_suffix(".json"), "--quiet", "--threads", 1)
            figures = json.loads(out.with_suffix(".json").read_text())
            for key in ("test_error", "samples_per_second", "seconds", "ranks", "threads", "stages"):
                assert key in figures, f"{key} is missing from the JSON"
            stages = figures["stages"]
            assert [s["name"] for s in stages][0] == "trained" and len(stages) == 4, stages
            for s in stages:
                assert set(s) - {"errors"} == {"name", "test_error", "parameters", "nonzeros", "bytes", "latency_us", "latency_64_us", "multiply_adds", "effective_multiply_adds", "energy_uj", "layers"}, s
                assert f'{100 * s["test_error"]:.2f} %' in said, "the table and the JSON disagree"
            trained, small = stages[0], stages[-1]
            # Guessing errs at 0.9; a tenth of the weights in 8 bits must not lose the digits.
            assert trained["test_error"] < 0.1 and small["test_error"] < 0.2, stages
            # names and shapes weigh in a tiny file
            assert small["bytes"] * (8 if trained["parameters"] > 10000 else 4) < trained["bytes"], stages
            assert (out / "compressed.safetensors").stat().st_size == small["bytes"]
            assert (out / "model.safetensors").stat().st_size == trained["bytes"] > 4 * trained["parameters"]
            assert "<svg" in (out / "report.svg").read_text()
            assert json.loads((out / "report.json").read_text()) == figures
            self.explained(said, figures)
            again = self.run("--evaluate", out / "compressed.safetensors", "--json", out / "evaluated.json", "--threads", 1)
            assert json.loads((out / "evaluated.json").read_text())["test_error"] == small["test_error"], again
            deep = out.joinpath(*4 * ["d" * 100])  # what was found is told behind a long path, too
            deep.mkdir(parents=True)
            (deep / "small.safetensors").write_bytes((out / "compressed.safetensors").read_bytes())
            again = self.run("--evaluate", deep / "small.safetensors", "--threads", 1)
            assert f'small.safetensors: test error {100 * small["test_error"]:.2f} % (' in again, again
            for ranks in self.rank_counts()[:1]:
                self.run("--evaluate", out / "compressed.safetensors", "--json", out / "ranks.json", "--threads", 1, ranks=ranks)
                assert json.loads((out / "ranks.json").read_text())["test_error"] == small["test_error"]

    @staticmethod
    def explained(said, figures):
        """What the machine is taken for, the bytes of a rank, and the step: predicted, its parts, and beside it what was measured."""
        number = r"(\d+\.\d+)"
        machine = re.search(rf"^machine: {number} GFLOP/s, memory {number} GB/s, launch {number} us; between ranks: latency {number} us, {number} GB/s$", said, re.M)
        assert machine and all(float(machine[i]) > 0 for i in (1, 2, 5)), said
        memory = re.search(rf"^memory:  parameters {number} MiB, gradients {number}, optimizer state {number}, activations {number}, input {number}: {number} MiB per rank$", said, re.M)
        assert memory, said
        *parts, whole = map(float, memory.groups())
        assert abs(sum(parts) - whole) <= 0.005 * 6 + 1e-9, memory[0]  # six roundings to hundredths
        assert parts[0] >= 4 * figures["stages"][0]["parameters"] / 2**20 - 0.005 and abs(parts[2] - 2 * parts[0]) <= 0.016, memory[0]  # AdamW keeps two
        step = re.search(rf"^step:    predicted {number} ms, measured {number} ms  \(forward {number} ms, backward {number}, optimizer {number}, communication {number} \(exposed {number}\): {number} ms\)$", said, re.M)
        assert step, said
        predicted, measured, forward, backward, optimizer, _, exposed, total = map(float, step.groups())
        assert predicted == total and abs(forward + backward + optimizer + exposed - total) <= 0.0005 * 5 + 1e-9, step[0]
        assert predicted > 0 and abs(measured - figures["seconds"] / figures["steps"] * 1e3) <= 0.0006, step[0]

    # --- the same bytes on any number of ranks -----------------------------------------------------------------------------------
    def same_bytes(self):
        def bytes_of(name, *arguments, ranks=1):
            out = self.folder / name
            self.run("--deterministic", "--train-only", "--quiet", "--threads", 1, "--out", out, *arguments, ranks=ranks)
            return (out / "model.safetensors").read_bytes()

        for model, epochs in (("lenet-300-100", 2), ("lenet-5", 1)):
            plain = ("--model", model, "--epochs", epochs)
            reference = bytes_of("alone", *plain)
            assert reference != bytes_of("seed", *plain, "--seed", 2), "another seed gave the same bytes"
            for n in (2, 3, 4):
                assert bytes_of(f"threads{n}", *plain, "--thread-ranks", n) == reference, f"{n} thread ranks"
            for n in self.rank_counts():
                assert bytes_of(f"ranks{n}", *plain, ranks=n) == reference, f"{n} MPI ranks"
            for more in (("--micro-batches", 2), ("--micro-batches", 3, "--no-overlap"), ("--no-overlap",)):
                assert bytes_of("variant", *plain, *more) == reference, more
                assert bytes_of("variant", *plain, *more, "--thread-ranks", 3) == reference, more
                for n in self.rank_counts()[:1]:
                    assert bytes_of("variant", *plain, *more, ranks=n) == reference, f"{more} on {n} MPI ranks"
        # Compression too: the same file from 1 and 3 ranks.
        for n in (1, 3):
            self.run("--deterministic", "--epochs", 2, "--quiet", "--threads", 1, "--out", self.folder / f"small{n}", *(("--thread-ranks", n) if n > 1 else ()))
        assert (self.folder / "small1" / "compressed.safetensors").read_bytes() == (self.folder / "small3" / "compressed.safetensors").read_bytes()

    # --- kill -9, then on another number of ranks --------------------------------------------------------------------------------
    def kill_and_resume(self):
        self.killed_again_and_again([("--thread-ranks", 1 + life % 4) for life in range(6)], ("--thread-ranks", 2))

    def kill_ranks_and_resume(self):
        """Processes are killed too, and the one that ends the training is of another number of them."""
        self.demand_launcher()
        self.killed_again_and_again([2, ("--thread-ranks", 3), 3], 2)

    def killed_again_and_again(self, lives, last):
        """Each life (a number of MPI ranks, or options) is killed after a checkpoint of its own; the last one trains to the end. The bytes are
        those of a training that nobody killed. Had a life nothing left to do, then all is done again with a longer training."""
        for epochs in (40, 160, 640):
            reference, resumed, checkpoint = (self.folder / f"{what}{epochs}" for what in ("whole", "resumed", "checkpoint"))
            plain = ["--deterministic", "--train-only", "--quiet", "--threads", 1, "--epochs", epochs, "--model", "mlp:64-200-100-10"]
            job = plain + ["--checkpoint", checkpoint, "--checkpoint-steps", 7, "--resume", "--out", resumed]
            if not all(self.one_life(job, life, checkpoint) for life in lives):
                continue
            self.run(*plain, "--out", reference)
            left_at = self.newest(checkpoint)
            if isinstance(last, int):
                self.run(*job, ranks=last)
            else:
                self.run(*job, *last)
            assert left_at > 0, "nothing was saved"
            assert (resumed / "model.safetensors").read_bytes() == (reference / "model.safetensors").read_bytes(), "resume gave other bytes"
            if self.newest(checkpoint) > left_at:  # else the one before was killed behind its last save
                return
        assert False, "training always ended before it could be killed"

    def one_life(self, job, life, checkpoint):
        """Whether it was killed before it had come to its end."""
        before = self.newest(checkpoint)
        ranks = life if isinstance(life, int) else 1
        child = subprocess.Popen(self.command(job if isinstance(life, int) else job + list(life), ranks), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and self.newest(checkpoint) <= before:  # ctest's time-out is the limit
            time.sleep(0.001)
        victims = [child.pid] if ranks == 1 else self.ranks_of(child)
        if ranks == 1:
            child.kill()  # does nothing where it has come to its end
        elif len(victims) == ranks:
            try:
                os.kill(victims[-1], signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has come to its end, too
        return child.wait() != 0 and len(victims) == ranks

    @staticmethod
    def newest(checkpoint):
        """The step of the newest checkpoint; 0: there is none."""
        return max((int(p.name.split("-")[1]) for p in checkpoint.glob("step-*[0-9]")), default=0)

    # --- a rank that dies ---------------------------------------------------------------------------------------------------------
    def dead_rank(self):
        self.demand_launcher()
        checkpoint = self.folder / "checkpoint"
        job = ["--train-only", "--quiet", "--threads", 1, "--epochs", 100000, "--checkpoint", checkpoint, "--checkpoint-steps", 20]
        launcher = subprocess.Popen(self.command(job, 3), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        end = time.time() + 120
        while time.time() < end and not list(checkpoint.glob("step-*[0-9]")):
            time.sleep(0.01)
        ranks = self.ranks_of(launcher)
        assert len(ranks) == 3, f"{len(ranks)} ranks are running"
        environment = Path(f"/proc/{max(ranks)}/environ").read_text().split("\0")
        dead = next(e.split("=")[1] for e in environment if e.startswith(("OMPI_COMM_WORLD_RANK=", "PMI_RANK=")))
        os.kill(max(ranks), signal.SIGKILL)
        said, _ = launcher.communicate(timeout=60)  # no hang
        assert launcher.returncode != 0, said
        # Who died (MPICH's launcher names the process), and of what: the launcher's words, since the dead say nothing. Survivors are ended, or
        # say one sentence with what to do.
        assert re.search(rf"(?i)\brank {dead}\b|\bPID {max(ranks)}\b", said) and re.search(r"(?i)killed|signal:? 9", said), said
        ours = [line for line in said.splitlines() if line.startswith("pleat:")]
        assert len(ours) <= 2 and all(re.fullmatch(rf"pleat: rank (?!{dead}:)\d+: .+\. \S.*", line) for line in ours), said
        # Nothing that was saved is lost.
        newest = self.newest(checkpoint)
        job[job.index(100000)] = newest // 23 + 1
        self.run(*job, "--resume", "--out", self.folder / "after")

    # --- one sentence, a non-zero exit, no hang ----------------------------------------------------------------------------------
    def refused(self, words, *arguments, ranks=1, first="pleat:"):
        """All of `words` in one sentence, the only one, which begins with `first`."""
        said = self.run(*arguments, ranks=ranks, fails=True)
        sentences = [line for line in said.splitlines() if line.startswith(first)]
        assert len(sentences) == 1, f"{len(sentences)} sentences:\n{said}"
        for w in words:
            assert w in sentences[0], f"'{w}' is not in:\n{said}"

    def bad_input(self):
        refused, good = self.refused, self.folder / "good"
        self.run("--epochs", 1, "--out", good, "--quiet", "--threads", 1)
        model = (good / "compressed.safetensors").read_bytes()
        short = ("--epochs", 1, "--train-only", "--quiet", "--threads", 1)
        refused(["there is no such folder"], "--data", self.folder / "nowhere")
        refused(["'wheels' is no network", "lenet-5"], "--model", "wheels")
        refused(["takes 65 numbers, a sample of this data has 64"], "--model", "mlp:65-10")
        refused(["many"], "--epochs", "many", first="--epochs")
        refused(["needs --checkpoint"], "--resume", first="--resume")
        refused(["needs --checkpoint"], "--checkpoint-steps", 5, first="--checkpoint-steps")
        refused(["has no effect with --train-only"], "--train-only", "--sparsity", 0.5, first="--sparsity")
        refused(["is a 'lenet-300-100', not a 'lenet-5'", "Leave out --model"], "--evaluate", good / "model.safetensors", "--model", "lenet-5")
        refused(["has no effect with --evaluate"], "--evaluate", good / "model.safetensors", "--epochs", 3, first="--epochs")
        refused(["hope"], "--optimizer", "hope", first="--optimizer")
        refused(["0"], "--batch", 0, first="--batch")
        refused(["it is empty: name a path"], "--out", "", first="--out")
        refused(["Kokkos takes at most 512 threads, asked for 5000"], "--threads", 5000)
        for bad in ("nan", "-1"):
            refused([f"'{bad}' is not a number above 0"], "--learning-rate", bad, first="--learning-rate")
        for bad in ("-1", "x", "1.5"):
            refused([f"'{bad}' is not a whole number from 0 to 18446744073709551615"], "--seed", bad, first="--seed")
        bad = self.folder / "bad.safetensors"
        for words, content in ((["the file has 0 bytes, expected 8"], b""), (["header", "but only"], model[:100]), (["the tensors end at byte", "but the file ends at"], model[:-3]), (["the tensors end at byte", "but the file ends at"], model + b"x"), (["the header's length at byte 0"], bytes(255 - b for b in model))):
            bad.write_bytes(content)
            refused(["bad.safetensors", *words], "--evaluate", bad)
        if os.path.exists("/dev/full"):
            full = self.folder / "full"  # a link: were it replaced by mistake, the machine's device would stay
            full.symlink_to("/dev/full")
            refused(["/dev/full", "No space left"], "--epochs", 1, "--train-only", "--quiet", "--threads", 1, "--json", full)
        refused(["cannot make the folder", "bad.safetensors"], "--epochs", 1, "--out", bad / "below")
        refused([f"cannot make a file in '{self.folder}/absent'", "Make the folder"], "--epochs", 100000, "--json", self.folder / "absent" / "f.json")  # before the first epoch
        # What is read, or of another option, is not written over.
        trained = good / "model.safetensors"
        refused(["pleat: --json: ", "is the file that is read (--evaluate)"], "--evaluate", trained, "--json", trained)
        for name in ("model.safetensors", "compressed.safetensors", "report.svg"):
            refused(["pleat: --json: ", "is the file of --out, too"], *short, "--out", good, "--json", good / name)
        self.prefix = ["sh", "-c", 'cd "$0" && exec "$@"', str(self.folder)]  # names of what is not there yet
        refused(["is the file of --out, too"], *short, "--out", "unmade", "--json", "./unmade/model.safetensors")
        self.prefix = []
        assert not (self.folder / "unmade").exists()

        # Data: the shipped digits, of which one file is spoiled.
        def spoiled(name, content, instead_of):
            folder = self.folder / "spoiled"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(DIGITS, folder)
            (folder / instead_of).unlink()
            (folder / name).write_bytes(content)
            return folder

        images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
        whole, marks = (DIGITS / images).read_bytes(), (DIGITS / labels).read_bytes()
        packed = gzip.compress(whole)
        # The right header of a set of nothing, which would be 0 % wrong.
        nothing = spoiled(images, whole[:4] + bytes(4) + whole[8:16], images)
        (nothing / labels).write_bytes(marks[:4] + bytes(4))
        refused(["expected samples", "with none"], "--data", nothing, *short)
        self.run("--data", spoiled(images + ".gz", packed, images), *short)  # a good one is read
        for ranks in (1, *self.rank_counts()[:1]):
            refused([images, "ends within"], "--data", spoiled(images, b"\0\0\x08\x03\0\0", images), *short, ranks=ranks)
            refused([images + ".gz", "too early", "copy it again"], "--data", spoiled(images + ".gz", packed[:len(packed) // 2], images), *short, ranks=ranks)
            refused([labels, "label 77 of sample 5 (byte 13), expected 0 to 9. "], "--data", spoiled(labels, marks[:13] + b"\x4d" + marks[14:], labels), *short, ranks=ranks)
            # A loss that is no number: which step, rank and layer, and what to do.
            refused(["the loss of step", "on rank", "layer 'fc", "Lower the learning rate"], "--learning-rate", 1e30, *short, ranks=ranks)

        # Checkpoints: all of them damaged, each in another file.
        checkpoint = self.folder / "checkpoint"
        self.run(*short, "--checkpoint", checkpoint, "--checkpoint-steps", 7)
        for number, step in enumerate(sorted(checkpoint.glob("step-*[0-9]"))):
            file = sorted(step.iterdir())[number]
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        for ranks in (1, *self.rank_counts()[:1]):
            refused([f"'{checkpoint}'", "no checkpoint of 2 is whole", "begin anew in another folder"], *short, "--checkpoint", checkpoint, "--resume", ranks=ranks)

        # Those of another training, and one that is named itself, stay as they are.
        refused(["holds checkpoints of another training, the newest step-", "resume"], *short, "--checkpoint", checkpoint)
        refused(["is a checkpoint itself", "that it lies in"], *short, "--checkpoint", sorted(checkpoint.glob("step-*[0-9]"))[0], "--resume")

        # A model of other numbers: what was trained on x / 255 may not be asked about x / 16 without a word.
        content = (good / "model.safetensors").read_bytes()
        at = content.index(b'"pleat.input.scale":"') + len(b'"pleat.input.scale":"')
        bad.write_bytes(content[:at] + (b"9" if content[at:at + 1] != b"9" else b"8") + content[at + 1:])
        refused(["was trained on", "Use --data"], "--evaluate", bad)

        # Files that name networks which are not theirs, of more memory than there is: refused by what the file holds.
        def renamed(name, network, **shapes):
            content = (good / name).read_bytes()
            end = 8 + int.from_bytes(content[:8], "little")
            header = json.loads(content[8:end])
            header["__metadata__"] |= {"pleat.network": network} | {f"pleat.shape.{w.replace('_', '.')}": s for w, s in shapes.items()}
            text = json.dumps(header).encode()
            text += b" " * (-len(text) % 8)
            bad.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])

        huge = "mlp:64-9999999-9999999-10"
        for ranks in (1, *self.rank_counts()[:1]):
            renamed("model.safetensors", huge)
            refused(["--evaluate: 'fc1.weight' has shape [9999999, 64] in the network '" + huge + "'", f"in '{bad}' it has [300, 64]", "Use --data"], "--evaluate", bad, ranks=ranks)
        renamed("compressed.safetensors", huge, fc1_weight="[9999999, 64]")
        refused(["'fc1.weight' has shape [9999999, 64]", "and in the forms of this program each number takes a bit or more"], "--evaluate", bad)
        renamed("model.safetensors", "mlp:64-300-100-50-10")
        refused(["'fc3.weight' has shape [50, 100]", "it has [10, 100]"], "--evaluate", bad)
        renamed("model.safetensors", "mlp:64-300-100-10-10")
        refused(["'fc4.weight' has shape [10, 10]", "there is none"], "--evaluate", bad)
        renamed("model.safetensors", "mlp:64" + 2000 * "-1")
        refused(["'mlp:64-1-1-", "…' is no network", "(at most 1000)"], "--evaluate", bad)

        # Every rank refuses alike, rank 0 speaks, nobody hangs.
        for n in self.rank_counts()[:2]:
            refused(["--thread-ranks was given to", "not both"], "--thread-ranks", 2, *short, ranks=n)
            refused(["there is no such folder"], "--data", self.folder / "nowhere", ranks=n)
            refused(["'wheels' is no network"], "--model", "wheels", ranks=n)
            refused(["cannot make the folder", "bad.safetensors"], "--epochs", 1, "--out", bad / "below", ranks=n)
            refused(["many"], "--epochs", "many", first="--epochs", ranks=n)
            refused(["needs --checkpoint"], "--resume", first="--resume", ranks=n)
        # Ranks that were asked other things would wait for each other.
        if self.has_launcher():
            self.prefix = [*self.launcher, "1"]
            refused(["what is asked of rank 1 is not that of rank 0: out=/", "there, out= here", "Give every rank the same options"], *short, ":", "-n", 1, self.program, *short, "--out", self.folder / "other")
            refused(["what is asked of rank 1 is not that of rank 0: sparsity=0.5 there, sparsity=0.9 here"], ":", "-n", 1, self.program, "--sparsity", 0.5)
        # A rank that was inherited from a shell, and no launcher: nobody else would speak.
        self.prefix = ["env", "OMPI_COMM_WORLD_RANK=1"]
        refused(["many"], "--epochs", "many", first="rank 1: --epochs")
        # --help is rank 0's, but at a terminal, which launchers give to rank 0 at most.
        assert self.run("--help") == ""
        ours, theirs = pty.openpty()
        assert "--epochs" in subprocess.run(self.command(["--help"]), stdin=theirs, capture_output=True, text=True, timeout=60).stdout
        os.close(ours), os.close(theirs)
        self.prefix = []
        # More ranks than samples in a batch.
        self.run("--epochs", 1, "--batch", 2, "--train-only", "--quiet", "--threads", 1, "--thread-ranks", 4)

    # --- a full disk --------------------------------------------------------------------------------------------------------------
    def full_disk(self):
        """Where mounting is allowed (to root, or to a user in a namespace) a disk of 64 KiB, seen by the program alone; elsewhere a limit of
        8 MiB to what is written to any file, under a network of more."""
        disk, left = self.folder / "disk", self.folder / "left"
        disk.mkdir()
        inside = ["sh", "-c", 'mount -t tmpfs -o size=64k tmpfs "$0" && printf old > "$0/model.safetensors" || exit 77; "$@"; code=$?; '
                  f"ls -A \"$0\" > '{left}'; cat \"$0/model.safetensors\" >> '{left}'; exit $code", str(disk)]
        job = ["--epochs", 1, "--train-only", "--quiet", "--threads", 1, "--out", disk]
        words = [f"'{disk}/model.safetensors'", "writing failed after", "What was there before is untouched", "free some space"]
        for namespace in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
            if not shutil.which("unshare") or subprocess.run(namespace + inside + ["true"], capture_output=True).returncode != 0:
                continue
            for ranks in (1, *self.rank_counts()[:1]):
                self.prefix = namespace + inside
                self.refused([*words, "No space left on device"], *job, ranks=ranks)
                assert left.read_text() == "model.safetensors\nold", "the disk holds: " + left.read_text()
            return
        self.prefix = ["sh", "-c", 'trap "" XFSZ; ulimit -f 16384; exec "$@"', "sh"]
        (disk / "model.safetensors").write_text("old")
        self.refused([*words[1:], "File too large"], *job, "--model", "mlp:64-1500-1500-10")
        assert [p.name for p in disk.iterdir()] == ["model.safetensors"] and (disk / "model.safetensors").read_text() == "old"


if __name__ == "__main__":
    main(TrainShrinkRun)
