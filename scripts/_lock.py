"""The lock on the virtual environment: many may use it, one alone may change it.

The system itself frees a lock when the last process that holds it has ended, however it ended.
"""

import os
import sys

FREE_TO_ALL = 0o666


def open_lock(path: str) -> int:
    """Give a file descriptor to lock; raises OSError where the folder cannot be written."""
    return os.open(path, os.O_RDWR | os.O_CREAT, FREE_TO_ALL)


if sys.platform == "win32":
    import msvcrt

    def try_to_change(lock: int) -> bool:
        """Take the lock for oneself alone; False while anyone else has it so."""
        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def try_to_use(lock: int) -> bool:
        """Let go of the lock: Windows itself keeps a program's files from being removed while it runs."""
        try:
            msvcrt.locking(lock, msvcrt.LK_UNLCK, 1)
        except OSError:
            return True  # it was not locked
        return True

else:
    import fcntl

    def _flock(lock: int, how: int) -> bool:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks, such as some network shares: go on as well as one can
        return True

    def try_to_change(lock: int) -> bool:
        """Take the lock for oneself alone; False while anyone else has it in any way."""
        return _flock(lock, fcntl.LOCK_EX)

    def try_to_use(lock: int) -> bool:
        """Share the lock with others who use the environment; False while one changes it."""
        return _flock(lock, fcntl.LOCK_SH)
