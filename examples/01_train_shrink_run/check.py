#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs train_shrink_run as a user would and looks at what it leaves.

    check.py promise|same_bytes|kill_and_resume|bad_input PROGRAM FOLDER "LAUNCHER OPTIONS -n"
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main


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
                assert set(s) == {"name", "test_error", "parameters", "nonzeros", "bytes", "latency_us"}, s
                assert f'{100 * s["test_error"]:.2f} %' in said, "the table and the JSON disagree"
            trained, small = stages[0], stages[-1]
            # Guessing errs at 0.9; a tenth of the weights in 8 bits must not lose the digits.
            assert trained["test_error"] < 0.1 and small["test_error"] < 0.2, stages
            # names and shapes weigh in a tiny file
            assert small["bytes"] * (8 if trained["parameters"] > 10000 else 4) < trained["bytes"], stages
            assert (out / "compressed.safetensors").stat().st_size >= small["bytes"]
            assert (out / "model.safetensors").stat().st_size > 4 * trained["parameters"]
            assert "<svg" in (out / "report.svg").read_text()
            assert json.loads((out / "report.json").read_text()) == figures
            again = self.run("--evaluate", out / "compressed.safetensors", "--json", out / "evaluated.json", "--threads", 1)
            assert json.loads((out / "evaluated.json").read_text())["test_error"] == small["test_error"], again
            for ranks in self.rank_counts()[:1]:
                self.run("--evaluate", out / "compressed.safetensors", "--json", out / "ranks.json", "--threads", 1, ranks=ranks)
                assert json.loads((out / "ranks.json").read_text())["test_error"] == small["test_error"]

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
        # Compression too: the same file from 1 and 3 ranks.
        for n in (1, 3):
            self.run("--deterministic", "--epochs", 2, "--quiet", "--threads", 1, "--out", self.folder / f"small{n}", *(("--thread-ranks", n) if n > 1 else ()))
        assert (self.folder / "small1" / "compressed.safetensors").read_bytes() == (self.folder / "small3" / "compressed.safetensors").read_bytes()

    # --- kill -9, then on another number of ranks --------------------------------------------------------------------------------
    def kill_and_resume(self):
        plain = ["--deterministic", "--train-only", "--quiet", "--threads", 1, "--epochs", 40, "--model", "mlp:64-200-100-10"]
        self.run(*plain, "--out", self.folder / "whole")
        reference = (self.folder / "whole" / "model.safetensors").read_bytes()
        checkpoint = self.folder / "checkpoint"
        with_checkpoint = plain + ["--checkpoint", checkpoint, "--checkpoint-steps", 7, "--resume", "--out", self.folder / "resumed"]
        kills = 0
        for attempt in range(6):
            child = subprocess.Popen(self.command(with_checkpoint + ["--thread-ranks", 1 + attempt % 4]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seen, end = len(list(checkpoint.glob("step-*"))) if checkpoint.exists() else 0, time.time() + 60
            newest = max((p.stat().st_mtime_ns for p in checkpoint.glob("step-*")), default=0) if checkpoint.exists() else 0
            while child.poll() is None and time.time() < end:  # kill it once it has saved something new
                now = max((p.stat().st_mtime_ns for p in checkpoint.glob("step-*[0-9]") if p.exists()), default=0) if checkpoint.exists() else 0
                if now > newest:
                    break
                time.sleep(0.001)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
            child.wait()
            del seen
        assert kills > 0, "training ended before it could be killed"
        self.run(*with_checkpoint, "--thread-ranks", 2)
        assert (self.folder / "resumed" / "model.safetensors").read_bytes() == reference, "resume gave other bytes"
        if self.launcher:  # the finished run resumes on MPI ranks, and has nothing to do
            self.run(*with_checkpoint, ranks=3)
            assert (self.folder / "resumed" / "model.safetensors").read_bytes() == reference

    # --- a rank that dies ---------------------------------------------------------------------------------------------------------
    def dead_rank(self):
        if not self.launcher:
            print("there is no MPI: nothing to kill")
            return
        checkpoint = self.folder / "checkpoint"
        job = ["--train-only", "--quiet", "--threads", 1, "--epochs", 100000, "--checkpoint", checkpoint, "--checkpoint-steps", 20]
        launcher = subprocess.Popen(self.command(job, 3), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        end = time.time() + 60
        while time.time() < end and not list(checkpoint.glob("step-*[0-9]")):
            time.sleep(0.01)
        name = os.path.basename(self.program)[:15]
        ranks = [int(p.name) for p in Path("/proc").glob("[0-9]*") if self.descends(int(p.name), launcher.pid) and self.name_of(int(p.name)) == name]
        assert len(ranks) == 3, f"{len(ranks)} ranks are running"
        os.kill(max(ranks), signal.SIGKILL)
        said, _ = launcher.communicate(timeout=60)  # no hang
        assert launcher.returncode != 0, said
        # Nothing that was saved is lost.
        newest = max(int(p.name.split("-")[1]) for p in checkpoint.glob("step-*[0-9]"))
        job[job.index(100000)] = newest // 23 + 1
        self.run(*job, "--resume", "--out", self.folder / "after")

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

    # --- one sentence, a non-zero exit, no hang ----------------------------------------------------------------------------------
    def bad_input(self):
        def refused(words, *arguments, ranks=1):
            said = self.run(*arguments, ranks=ranks, fails=True)
            for w in words:
                assert w in said, f"'{w}' is not in:\n{said}"
            sentences = [line for line in said.splitlines() if line.startswith("pleat:")]
            assert len(sentences) <= 1, f"more than one sentence:\n{said}"

        good = self.folder / "good"
        self.run("--epochs", 1, "--out", good, "--quiet", "--threads", 1)
        model = (good / "compressed.safetensors").read_bytes()
        refused(["there is no such folder"], "--data", self.folder / "nowhere")
        refused(["'wheels' is no network", "lenet-5"], "--model", "wheels")
        refused(["takes 65 numbers, a sample of this data has 64"], "--model", "mlp:65-10")
        refused(["--epochs"], "--epochs", "many")
        refused(["--resume needs --checkpoint"], "--resume")
        refused(["--optimizer"], "--optimizer", "hope")
        refused(["batch", "0"], "--batch", 0)
        bad = self.folder / "bad.safetensors"
        for name, content in (("empty", b""), ("short", model[:100]), ("cut", model[:-3]), ("long", model + b"x"), ("noise", bytes(255 - b for b in model))):
            bad.write_bytes(content)
            refused(["bad.safetensors"], "--evaluate", bad)
        mnist = self.folder / "idx"
        mnist.mkdir()
        for stem in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
            (mnist / stem).write_bytes(b"\0\0\x08\x03\0\0")
        refused(["train-images-idx3-ubyte"], "--data", mnist)
        if os.path.exists("/dev/full"):
            full = self.folder / "full"  # a link: were it replaced by mistake, the machine's device would stay
            full.symlink_to("/dev/full")
            refused(["/dev/full", "No space left"], "--epochs", 1, "--train-only", "--quiet", "--threads", 1, "--json", full)
        refused(["cannot make the folder", "bad.safetensors"], "--epochs", 1, "--out", bad / "below")
        # Every rank refuses alike, rank 0 speaks, nobody hangs.
        for n in self.rank_counts()[1:2]:
            refused(["there is no such folder"], "--data", self.folder / "nowhere", ranks=n)
            refused(["'wheels' is no network"], "--model", "wheels", ranks=n)
            refused(["cannot make the folder", "bad.safetensors"], "--epochs", 1, "--out", bad / "below", ranks=n)
        # More ranks than samples in a batch.
        self.run("--epochs", 1, "--batch", 2, "--train-only", "--quiet", "--threads", 1, "--thread-ranks", 4)


if __name__ == "__main__":
    main(TrainShrinkRun)
