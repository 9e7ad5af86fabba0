"""Work that is begun before sphinx-gallery runs its scripts, and goes on beside them.

The gallery has a process for every core, but at the end of each of its sections they wait for one another, and while the
API is listed there are none. So half as many processes here as there are cores keep all of them busy.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

_POOLS: list[ThreadPoolExecutor] = []  # the one pool, once there is work


def begin(work, *arguments) -> Future:
    """Have a function called soon, in a thread: it should start a process and wait, so that the main thread goes on."""
    if not _POOLS:
        _POOLS.append(ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1) // 2)))
    return _POOLS[0].submit(work, *arguments)


def give_up() -> None:
    """Drop what has not begun: the build has ended, well or not."""
    while _POOLS:
        _POOLS.pop().shutdown(wait=False, cancel_futures=True)
