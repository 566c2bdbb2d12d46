#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs prune as a user would and reads its tables.

    check.py table|bad_input PRUNE FOLDER "LAUNCHER OPTIONS -n"
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from check_program import Check, main


class Prune(Check):
    def tables(self, *arguments, ranks=1):
        """{title: {row: [numbers]}} of the tables with numbers; a title ends where its columns' names begin."""
        said = self.run("--epochs", 3, "--subset", 64, "--threads", 1, *arguments, ranks=ranks)
        tables, rows = {}, None
        for line in said.splitlines():
            title = re.match(r"(zeros, without training|SparseGPT, 80 %|zeros, 98 %|channels) ?", line)
            if title:
                rows = tables.setdefault(title[1], {})
            elif rows is not None and line.strip():
                found = re.match(r" *(.*?)((?: +-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)+)$", line)
                assert found, f"no row of numbers: '{line}'"
                rows[found[1]] = [float(x) for x in found[2].split()]
        return tables

    def table(self):
        tables = self.tables()
        assert list(tables) == ["zeros, without training", "SparseGPT, 80 %", "zeros, 98 %", "channels"], tables
        ways = ["magnitude, every layer alike", "magnitude, global", "Taylor, global", "Wanda, every row alike", "SparseGPT, every layer alike"]
        pruned = tables["zeros, without training"]
        assert list(pruned) == ways, pruned
        for way, errors in pruned.items():
            assert len(errors) == 5 and all(0 <= e <= 100 for e in errors) and errors[0] <= errors[3] + 1, (way, errors)
        layers = tables["SparseGPT, 80 %"]
        assert list(layers) == ["fc1.weight", "fc2.weight", "fc3.weight"], layers
        for name, (magnitude, own, share) in layers.items():
            assert 0 < own < magnitude and abs(share - own / magnitude) < 2e-3, (name, magnitude, own, share)
        trained = tables["zeros, 98 %"]
        assert list(trained) == ["magnitude, at once", "magnitude, cubic in 3 steps", "movement, then 2 epochs"], trained
        for way, (zeros, error) in trained.items():
            assert abs(zeros - 0.98) < 1e-4 and 0 <= error <= 100, (way, zeros, error)
        channels = tables["channels"]
        assert list(channels) == ["all of them", "half, by weight", "half, by Taylor", "a quarter, by Taylor"], channels
        products, parameters = channels["all of them"][:2]
        for way, most in (("half, by weight", 0.5), ("half, by Taylor", 0.5), ("a quarter, by Taylor", 0.25)):
            mine = channels[way]
            assert 0.8 * most * products < mine[0] <= most * products and mine[1] < parameters and mine[3] < 50 and mine[4] > 0, (way, mine)
        # The same numbers on three ranks, but for microseconds.
        others = self.tables("--thread-ranks", 3)
        for rows in (channels, others["channels"]):
            for numbers in rows.values():
                numbers.pop()
        assert others == tables, (tables, others)

    def bad_input(self):
        said = self.run("--data", "/nowhere", fails=True)
        assert "/nowhere" in said and "there is no such folder" in said, said
        for option in ("--subset", "--epochs"):
            said = self.run(option, 0, fails=True)
            assert option in said and "not in range" in said, said
        # Ranks that were asked other things would wait for each other.
        if self.has_launcher():
            self.prefix = [*self.launcher, "1"]
            said = self.run(":", "-n", 1, self.program, "--seed", 2, fails=True)
            assert "what is asked of rank 1 is not that of rank 0: seed=2 there, seed=1 here" in said, said


if __name__ == "__main__":
    main(Prune)
