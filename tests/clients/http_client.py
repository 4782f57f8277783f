"""Python's http.client over a Unix socket: keep-alive, a form, chunks, HEAD, a refusal in between."""

import http.client
import socket
import sys


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


connection = Connection(sys.argv[1])


def ask(method, target, body=None, headers={}, show=lambda text: " " + text, **more):
    connection.request(method, target, body, headers, **more)
    answer = connection.getresponse()
    print(answer.status, show(answer.read().decode()).strip())


ask("GET", "/allowed/one")
ask("POST", "/allowed/form", "key=a%26bcd", {"Content-Type": "application/x-www-form-urlencoded"})
ask("PUT", "/allowed/chunks", (b"x" * 1000 for _ in range(300)), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
ask("HEAD", "/allowed/head", show=lambda text: "HEAD" if not text else "a body to HEAD: " + text)
ask("GET", "/elsewhere", show=lambda text: "forbidden")
ask("GET", "/allowed/last")
