"""Processes that end with their parent, also where it is killed."""

import ctypes
import os
import signal
import sys
from threading import Thread
from time import sleep

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Let this process end as soon as its parent does: the kernel kills it where it can, else a thread ends it.

    Parameters
    ----------
    parent
        Id of the process that should be the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        sleep(1)
    os._exit(0)
