#!/usr/bin/env python3
"""stick.py PID: stops one serving thread of a node in the middle of its work, for as long as the node lives.

From outside this is what an endless loop is. A thread that sleeps is let go again: one that has nothing to do is not
stuck. Prints the thread's id once it stands still.
"""

import ctypes
import os
import sys
import time

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000
# sendto, recvfrom, sendmsg, recvmsg, writev: a client or an origin is being served.
AT_WORK = {"x86_64": {44, 45, 46, 47, 20}, "aarch64": {206, 207, 211, 212, 66}}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) == -1:
        raise OSError(ctypes.get_errno(), "ptrace")


def serving_threads(pid):
    for name in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{name}/comm", encoding="ascii") as comm:
            # The main thread bears the name of the program.
            if name != str(pid) and comm.read().strip() == "farmgate":
                yield int(name)


def stopped_at_work(pid, thread, calls):
    ptrace(SEIZE, thread)
    ptrace(INTERRUPT, thread)
    os.waitpid(thread, WALL)
    with open(f"/proc/{pid}/task/{thread}/syscall", encoding="ascii") as file:
        if int(file.read().split()[0]) in calls:
            return True
    ptrace(DETACH, thread)
    return False


def main():
    pid, calls = int(sys.argv[1]), AT_WORK[os.uname().machine]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for thread in serving_threads(pid):
            if stopped_at_work(pid, thread, calls):
                print(thread, flush=True)
                # Its end with the process; as long as we live it stands still.
                os.waitpid(thread, WALL)
                return 0
    print("no thread was seen at work", file=sys.stderr)
    return 1


sys.exit(main())
