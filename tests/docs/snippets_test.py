#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""scripts/snippets.py on a small tree: it fills, it is quiet when all is well, and each kind of defect is named with its line."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = """int before;
  // What a reader should see. [shown]
  int a = 1;

    int b = 2;
  // [shown]
int after;
"""
HEADER = """// SPDX
/// \\file
/// One noun, e.g. a number | or two. More words.
/// And more.
#pragma once
"""


class Snippets(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        for path, text in {"examples/a.cpp": SOURCE, "include/pleat/base/noun.hpp": HEADER, "include/pleat/base/detail/inner.hpp": HEADER}.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        (self.root / "docs").mkdir()

    def tearDown(self):
        self.folder.cleanup()

    def page(self, text):
        (self.root / "docs/page.md").write_text(text)

    def run_script(self, *arguments):
        done = subprocess.run([sys.executable, ROOT / "scripts/snippets.py", "--root", self.root, *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_fills_and_is_then_quiet(self):
        self.page("words\n<!-- snippet: examples/a.cpp shown -->\n```cpp\nold\n```\n\n<!-- headers: base -->\n\nmore\n")
        self.assertEqual(self.run_script("--check")[0], 1)
        self.assertEqual(self.run_script()[0], 0)
        text = (self.root / "docs/page.md").read_text()
        self.assertIn("-->\n```cpp\nint a = 1;\n\n  int b = 2;\n```\n", text)
        self.assertIn("-->\n| header | what it is |\n|---|---|\n| `base/noun.hpp` | One noun, e.g. a number \\| or two. |\n\nmore", text)
        self.assertNotIn("inner.hpp", text)
        self.assertEqual(self.run_script("--check")[0], 0)
        self.run_script()
        self.assertEqual((self.root / "docs/page.md").read_text(), text)

    def test_a_header_that_the_door_leaves_out_is_marked(self):
        (self.root / "include/pleat/base/verb.hpp").write_text(HEADER)
        (self.root / "include/pleat/base.hpp").write_text("#include <pleat/base/noun.hpp>\n")
        self.page("<!-- headers: base -->\n")
        self.run_script()
        text = (self.root / "docs/page.md").read_text()
        self.assertIn("| `base/noun.hpp` | One noun, e.g. a number \\| or two. |\n| `base/verb.hpp` | One noun, e.g. a number \\| or two. *By its own name.* |\n", text)

    def test_a_change_of_the_source_is_found(self):
        self.page("<!-- snippet: examples/a.cpp shown -->\n")
        self.run_script()
        (self.root / "examples/a.cpp").write_text(SOURCE.replace("a = 1", "a = 7"))
        code, words = self.run_script("--check")
        self.assertEqual(code, 1)
        self.assertIn("docs/page.md: line 3 is out of date", words)

    def test_each_defect_is_named(self):
        for text, words in (
            ("<!-- snippet: examples/none.cpp shown -->\n", "line 1: there is no file examples/none.cpp"),
            ("\n<!-- snippet: examples/a.cpp hidden -->\n", "line 2: examples/a.cpp has 0 lines '// [hidden]', expected 2"),
            ("<!-- headers: cellar -->\n", "the room cellar has no headers"),
            ("see [there](nowhere.md#part)\n", "the link (nowhere.md#part) leads nowhere"),
            ("# Part one\nsee [there](page.md#part-two)\n", "the link (page.md#part-two) leads nowhere"),
            ("see `pleat/base/verb.hpp`\n", "there is no header <pleat/base/verb.hpp>"),
            ("see `tests/base/verb_test.cpp`\n", "there is no tests/base/verb_test.cpp"),
            ("#include <pleat/base/verb.hpp>\n", "there is no header <pleat/base/verb.hpp>"),
        ):
            self.page(text)
            code, said = self.run_script("--check")
            self.assertEqual(code, 1, text)
            self.assertIn(words, said)

    def test_good_links_pass(self):
        self.page("# Part: a `b`, c\n[a](../examples/a.cpp) [b](#part-a-b-c) [c](https://example.org) `pleat/base/noun.hpp`\n```cpp\nf[0](x)\n```\n")
        self.assertEqual(self.run_script("--check")[0], 0)


if __name__ == "__main__":
    unittest.main()
