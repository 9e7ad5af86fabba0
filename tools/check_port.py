"""Say in words whether a port of this machine is free: `python tools/check_port.py 8000` (`nox -s serve` asks)."""

from __future__ import annotations

import socket
import sys


def taken(port: int) -> bool:
    """Tell whether somebody listens on a port of this machine."""
    with socket.socket() as asking:
        asking.settimeout(1)
        return asking.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    if taken(int(sys.argv[1])):
        sys.exit(f"port {sys.argv[1]} of this machine is taken; name another: nox -s serve -- --port 8001")
