"""The step between the daemon and a server of its own: change user, ask to end with it, exec.

A script, run as `python -I -S launch.py PARENT SIGNAL UID GID PIPE PROGRAM …`, so that nothing of
the daemon's runs between fork and exec: it may have threads. Imports nothing of messenger; stays
in memory only where the system does not tell a child of its parent's death. Whatever it needs is
imported at once: the user that it becomes may have no access to Python's own files.
"""

import ctypes
import os
import select
import signal
import sys

NONE = -1
"""For UID and GID: stay who you are. For PIPE: the system tells of the parent's death."""
PR_SET_PDEATHSIG = 1


def launch(parent: int, farewell: int, uid: int, gid: int, pipe: int, command: list[str]) -> None:
    """Become `command`, which gets the signal `farewell` when the process `parent` dies."""
    if uid != NONE:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    # After the change of user, which takes the request back: see prctl(2).
    if pipe == NONE:
        _ask_for_signal(farewell)
    else:
        _leave_watchdog(pipe, farewell)
    if os.getppid() != parent:
        sys.exit("messenger: the daemon died before its server could start")
    os.execv(command[0], command)  # noqa: S606


def _ask_for_signal(farewell: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, farewell, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def _leave_watchdog(pipe: int, farewell: int) -> None:
    """Leave a process behind that signals us when the daemon's end of the pipe closes."""
    server = os.getpid()
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        os.set_inheritable(pipe, False)
        return
    if os.fork():
        # So that the watchdog is nobody's child: PostgreSQL waits for all of its own.
        os._exit(0)
    try:
        _watch(server, pipe, farewell)
    finally:
        os._exit(0)


def _watch(server: int, pipe: int, farewell: int) -> None:
    # What we hold of the servers' lock and log would outlive them.
    os.closerange(0, pipe)
    os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))
    # Once a second, whether the server is still there: later its number may be another's.
    while not select.select([pipe], [], [], 1.0)[0]:
        os.kill(server, 0)
    # A byte says that the daemon has seen the server end; the bare end, that the daemon died.
    if not os.read(pipe, 1):
        os.kill(server, farewell)


def main() -> None:
    """Arguments as above; a failure is one line on stderr, which is the server's log."""
    parent, farewell, uid, gid, pipe = map(int, sys.argv[1:6])
    command = sys.argv[6:]
    try:
        launch(parent, farewell, uid, gid, pipe, command)
    except OSError as failure:
        sys.exit(f"messenger: cannot start {command[0]}: {failure}")


if __name__ == "__main__":
    main()
