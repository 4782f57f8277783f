"""Reads CEF by pycef: prints what it can't read, a line each, and how many lines there were."""

import sys

import pycef

count = 0
for line in open(sys.argv[1], encoding="ascii"):
    count += 1
    event = pycef.parse(line.rstrip("\n"))
    if not event:
        print(f"not read: {line[:200]}")
        continue
    for key, value in {"DeviceVendor": "peergate", "DeviceProduct": "peergated", "dvchost": "web1"}.items():
        if event.get(key) != value:
            print(f"{key} is {event.get(key)!r}")
print(count)
