"""A backend: answers every request on a Unix path or a port of the loopback. Says so once it listens."""

import os
import socket
import sys

where = sys.argv[1]
if where.startswith("/"):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(where)
    os.chmod(where, 0o600)
else:
    listener = socket.socket(socket.AF_INET)
    listener.bind(("127.0.0.1", int(where)))
listener.listen(16)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        if connection.recv(4096):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
