"""Calls without a pause until its standard input ends: one connection a call, and one connection that is kept and
made again where the daemon closes it between two calls. Then prints what became of the calls."""

import select
import socket
import sys

REQUEST = b"GET /_peergate/health HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
SOCKET = "/run/peergate/api.sock"

calls = {"single": 0, "kept": 0}
not_connected = []
failed = []


def connect():
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    try:
        connection.connect(SOCKET)
    except OSError as error:
        not_connected.append(str(error))
        return None
    return connection


def answer(connection, close):
    """The status of one call, or what happened instead. An end before the first byte is told as such."""
    try:
        connection.sendall(REQUEST % (b"Connection: close\r\n" if close else b""))
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(4096)
            if not more:
                return "closed" if not head else "torn head"
            head += more
        head, body = head.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        while len(body) < length:
            more = connection.recv(4096)
            if not more:
                return "torn body"
            body += more
        return int(head.split(b" ")[1])
    except (BrokenPipeError, ConnectionResetError) as error:
        return "closed" if not close else repr(error)
    except OSError as error:
        return repr(error)


def single():
    connection = connect()
    if connection:
        with connection:
            status = answer(connection, True)
        calls["single"] += 1
        if status != 200:
            failed.append("single: %s" % status)


def kept(connection):
    fresh = connection is None
    connection = connection or connect()
    if not connection:
        return None
    status = answer(connection, False)
    calls["kept"] += 1
    if status == 200:
        return connection
    connection.close()
    # A kept connection may be closed between two calls, and then the call is made again; a fresh one may not.
    if status != "closed" or fresh:
        failed.append("kept: %s" % status)
    return None


connection = None
for turn in range(1, sys.maxsize):
    single()
    connection = kept(connection)
    if turn == 20:
        print("calling", flush=True)
    if select.select([sys.stdin], [], [], 0)[0]:
        break
# JSON, without the module, which the smallest Python does not have.
words = lambda things: "[" + ", ".join('"%s"' % str(thing).replace('"', "'") for thing in things) + "]"
print('{"single": %d, "kept": %d, "not_connected": %s, "failed": %s}'
      % (calls["single"], calls["kept"], words(not_connected), words(failed)))
