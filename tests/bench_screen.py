"""Run the dashboard in a pseudo-terminal and measure it from outside: what a user's terminal would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Screen:
    """A dashboard on a home, in a pseudo-terminal of this size."""

    def __init__(self, home: Path, size: tuple[int, int] = (120, 40)) -> None:
        self.began = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            env = {"PATH": os.environ["PATH"], "HOME": str(home.parent), "TERM": "xterm-256color"}
            env |= {"COLORTERM": "truecolor", "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)}
            command = [sys.executable, "-m", "keydeck", "--home", str(home)]
            os.execve(sys.executable, command, env)  # noqa: S606 - our own program
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def read(self, seconds: float) -> bytes:
        """Return what is written within this time."""
        ends, said = time.perf_counter() + seconds, b""
        while (left := ends - time.perf_counter()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                said += os.read(self._fd, 1 << 20)
        return said

    def until(self, text: bytes, seconds: float = 30.0) -> float:
        """Read until `text` was written; return the moment."""
        ends, said = time.perf_counter() + seconds, b""
        while (left := ends - time.perf_counter()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                said += os.read(self._fd, 1 << 20)
                if text in said:
                    return time.perf_counter()
        raise TimeoutError(f"{text!r} never came; last {said[-300:]!r}")

    def cpu(self) -> float:
        """Return the processor seconds spent so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss(self) -> float:
        """Return the resident memory in MB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def press(self, key: bytes) -> float:
        """Press a key and return the moment."""
        os.write(self._fd, key)
        return time.perf_counter()

    def close(self) -> None:
        """End the program."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)
