"""Becomes a program that ends when the process that started it does, however that one ended.

`python tethered.py PARENT PROGRAM ARGUMENT…`, so that no broker outlives a test run that was
killed. Linux only (prctl(2), PR_SET_PDEATHSIG); elsewhere it only becomes the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we could ask
            sys.exit(1)
    os.execv(program, sys.argv[2:])  # noqa: S606 - that is what it is for
