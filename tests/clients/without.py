"""Runs a program in which some system calls fail: without.py CALL[:ARG0][=ERRNO] ... -- PROGRAM ARGUMENT ...

A filter of its own (seccomp(2)) answers the named calls, where the first argument is ARG0 if one is given, with
an errno (EPERM unless another is named), as an older kernel or a service manager's filter would.
"""

import ctypes
import errno
import os
import struct
import sys

# x86-64 and the rest of the world (asm-generic).
NUMBERS = {
    "prctl": (157, 167),
    "capset": (126, 91),
    "setrlimit": (160, 164),
    "prlimit64": (302, 261),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000

rules = sys.argv[1:sys.argv.index("--")]
command = sys.argv[sys.argv.index("--") + 1:]
machine = 0 if os.uname().machine == "x86_64" else 1
program = []
for rule in rules:
    call, _, answer = rule.partition("=")
    call, _, first = call.partition(":")
    value = getattr(errno, answer or "EPERM")
    verdict = (RETURN, 0, 0, ERRNO | value)
    if first:
        # The number, then the lower half of the first argument.
        program += [(LOAD, 0, 0, 0), (EQUAL, 0, 3, NUMBERS[call][machine]), (LOAD, 0, 0, 16)]
        program += [(EQUAL, 0, 1, int(first)), verdict]
    else:
        program += [(LOAD, 0, 0, 0), (EQUAL, 0, 1, NUMBERS[call][machine]), verdict]
program.append((RETURN, 0, 0, ALLOW))

libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
filters = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
# As root no_new_privs is not needed, and would hide what is tested.
if libc.prctl(22, 2, ctypes.c_char_p(filters), 0, 0) != 0:
    sys.exit("the filter is not taken: " + os.strerror(ctypes.get_errno()))
os.execv(command[0], command)
