"""Who listens at a port."""

import errno
import socket

from streams.local.errors import PartFailed
from streams.local.parts import Part


def require_free(part: Part) -> None:
    """Raise PartFailed where another program has the part's port: which, and what to set."""
    if part.port is not None and taken(part.port):
        setting = "HEADWATER_" + part.port_setting.upper().replace(".", "__")
        remedy = f"stop it, or set {part.port_setting} (in headwater.toml, or {setting}=PORT)"
        raise PartFailed(part.name, f"port {part.port} is taken{_by_whom(part.port)}: {remedy}")


def taken(port: int) -> bool:
    """Whether 127.0.0.1 has no room at this port."""
    with socket.socket() as probe:
        # As the servers do: connections of a stopped one that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return True
            raise
    return False


def _by_whom(port: int) -> str:
    """` by NAME (pid N)`, or nothing where the kernel does not tell this user."""
    import psutil

    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
            try:
                return f" by {psutil.Process(connection.pid).name()!r} (pid {connection.pid})"
            except psutil.Error:
                return f" by pid {connection.pid}"
    return ""


def free_ports(count: int) -> list[int]:
    """Ports that nobody had a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
