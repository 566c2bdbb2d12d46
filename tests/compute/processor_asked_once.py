#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The pleat authors
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which functions of optimised programs ask the processor what it can do: only the one that keeps the answer.

    processor_asked_once.py OBJDUMP PROGRAM...

Under a hypervisor the instruction cpuid takes some 15 microseconds. An optimiser that may move it (it is no volatile access to it) takes it out
of the branch that runs once and puts it into every kernel; nothing but time tells. So the machine code is looked at.
"""
import re
import subprocess
import sys

ASKER = re.compile(r"ask_processor|ask_f16c")
# The compiler's run-time library and the C library ask for themselves, when a program starts.
NOT_OURS = re.compile(r"cpu_indicator|get_available_features|init_cpu_features|cpu_features|intel_check_word|handle_intel|handle_zhaoxin|get_common_cache")


def main() -> int:
    objdump, programs = sys.argv[1], sys.argv[2:]
    failed = False
    for program in programs:
        function, asking = "", {}
        listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", program], check=True, text=True, stdout=subprocess.PIPE).stdout
        for line in listing.splitlines():
            if line.endswith(">:"):
                function = line[line.index("<") + 1:-2]
            elif line.endswith("\tcpuid"):
                asking[function] = asking.get(function, 0) + 1
        ours = {f: n for f, n in asking.items() if not NOT_OURS.search(f)}
        strangers = sorted(f for f in ours if not ASKER.search(f))
        if strangers:
            failed = True
            print(f"{program}: {len(strangers)} functions ask the processor whenever they run: " + ", ".join(strangers[:8]))
        elif not ours:
            failed = True
            print(f"{program}: nobody asks the processor; the check has nothing to look at")
        else:
            print(f"{program}: {len(ours)} function asks, once")
    return failed


if __name__ == "__main__":
    sys.exit(main())
