"""A FUSE file system with an empty root and nothing else, served until it is unmounted: `fuse.py DIRECTORY`.

Says `mounted` once it is. It answers what looking at a directory takes (INIT, GETATTR, STATFS, OPENDIR) and ENOSYS to
all else; `fuse(4)`, and `linux/fuse.h` for the numbers.
"""

import ctypes
import errno
import os
import stat
import struct
import sys

INIT, GETATTR, STATFS, OPENDIR, RELEASEDIR, FORGET = 26, 3, 17, 27, 29, 2

fuse = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"test", sys.argv[1].encode(), b"fuse", 0, options) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("mounted", flush=True)

MODE = stat.S_IFDIR | 0o750
ATTR = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, MODE, 2, 0, 0, 0, 4096, 0)
while True:
    try:
        request = os.read(fuse, 1 << 20)
    except OSError as error:
        if error.errno == errno.ENODEV:
            break
        raise
    length, opcode, unique = struct.unpack_from("<IIQ", request)
    if opcode == FORGET:
        continue
    if opcode == INIT:
        body = struct.pack("<4I2H3I", 7, 31, 0, 0, 0, 0, 1 << 16, 0, 0) + bytes(28)
    elif opcode == GETATTR:
        body = struct.pack("<QII", 60, 0, 0) + ATTR
    elif opcode == STATFS:
        body = struct.pack("<5Q4I", 1000, 1000, 1000, 1000, 1000, 4096, 255, 4096, 0) + bytes(24)
    elif opcode == OPENDIR:
        body = struct.pack("<QII", 1, 0, 0)
    elif opcode == RELEASEDIR:
        body = b""
    else:
        os.write(fuse, struct.pack("<IiQ", 16, -errno.ENOSYS, unique))
        continue
    os.write(fuse, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
