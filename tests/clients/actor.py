"""Processes that are not who they seem: each act is one way of using a connection that somebody else made.

usage: actor.py ACT SOCKET ALICE BOB      (uids; run as root)
Prints what came back: the status of each answer, or `closed`.
"""

import array
import os
import signal
import socket
import sys

ACT, PATH, ALICE, BOB = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ASK = b"GET /allowed/x HTTP/1.1\r\nHost: h\r\n\r\n"


def connect(bind=None):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    if bind is not None:
        s.bind(bind)
    s.connect(PATH)
    return s


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def answer(s):
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    except ConnectionResetError:
        pass
    if not data:
        return "closed"
    head, _, body = data.partition(b"\r\n\r\n")
    length = [int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")]
    while length and len(body) < length[0]:
        piece = s.recv(65536)
        if not piece:
            break
        body += piece
    return head.split(b" ")[1].decode()


def ask(s, data=ASK):
    try:
        s.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return answer(s)


def in_child(act):
    """Runs `act` in a child; what it prints comes first."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            act()
            sys.stdout.flush()
        except BaseException as why:
            print("the actor failed:", repr(why), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)


def setuid_after_connect():
    # Connected as root, then somebody else for good: not root's word any more.
    s = connect()
    become(ALICE)
    print(ask(s))


def setuid_program():
    # Real uid alice, effective uid root, as a setuid program has it: the kernel says root, and every read
    # carries alice; that is one and the same process.
    os.setresuid(ALICE, 0, 0)
    s = connect()
    print(ask(s))
    print(ask(s))


def inherited():
    # Root connects, and a child of another uid inherits the descriptor and speaks.
    s = connect()
    print(ask(s))
    in_child(lambda: (become(BOB), print(ask(s))))


def inherited_before_a_byte():
    s = connect()
    in_child(lambda: (become(BOB), print(ask(s))))


def inherited_in_a_body():
    # The head is root's, the body somebody else's.
    s = connect()
    s.sendall(b"POST /allowed/x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
    in_child(lambda: (become(BOB), print(ask(s, b"evil"))))


def passed():
    # Alice connects and sends her descriptor to bob.
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        become(ALICE)
        s = connect()
        socket.send_fds(ours, [b"x"], [s.fileno()])
        ours.recv(1)
        os._exit(0)
    _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
    s = socket.socket(fileno=fds[0])
    s.settimeout(30)
    in_child(lambda: (become(BOB), print(ask(s))))
    theirs.send(b"x")
    os.waitpid(pid, 0)


def inherited_same_uid():
    # A child with the same uid is the same user: nothing to refuse.
    s = connect()
    in_child(lambda: print(ask(s)))


def gone_before_accept():
    # The warden (argv 5) stands still while somebody connects, asks and dies.
    warden = int(sys.argv[5])
    os.kill(warden, signal.SIGSTOP)
    in_child(lambda: (become(ALICE), connect().sendall(ASK)))
    os.kill(warden, signal.SIGCONT)
    print(ask(connect()))


def hostile_bind_name():
    # Names that say who one is, to a reader who believes names.
    for name in ("\0pid=1;uid=0;socket=/run/x;", "\0\n{\"uid\":0}\x1b[31m", "\0uid 0 root"):
        in_child(lambda: (become(BOB), print(ask(connect(bind=name)))))


def descriptors():
    # Descriptors thrown with a request, few and many, and alone with a byte in the middle of one.
    null = os.open("/dev/null", os.O_RDONLY)
    for count in (1, 10, 250):
        s = connect()
        fds = array.array("i", [null] * count)
        rest = ASK[10:]
        try:
            s.sendmsg([ASK[:10]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            print(ask(s, rest))
        except (BrokenPipeError, ConnectionResetError):
            print("closed")


def forged_credentials():
    # SCM_CREDENTIALS that root may send: another uid than its own.
    import struct
    s = connect()
    creds = struct.pack("3i", os.getpid(), BOB, BOB)
    s.sendmsg([ASK], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, creds)])
    print(answer(s))


globals()[ACT]()
