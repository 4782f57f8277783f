"""Reads a Parquet file by DuckDB and by ClickHouse: prints DuckDB's rows as JSON, and fails where they differ."""

import json
import sys

import chdb
import duckdb

path = sys.argv[1]
duck = duckdb.connect()
duck.execute("SET TimeZone = 'UTC'")
names = [row[0] for row in duck.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()]
instants = ("time", "first", "last")


def quoted(name):
    return '"' + name + '"'


spelling = "%Y-%m-%dT%H:%M:%S.%fZ"
columns = ", ".join(
    f"strftime({quoted(n)}, '{spelling}') AS {quoted(n)}" if n in instants else quoted(n) for n in names
)
rows = duck.execute(f"SELECT {columns} FROM read_parquet(?)", [path]).fetchall()
mine = [dict(zip(names, row)) for row in rows]

columns = ", ".join(
    f"toUnixTimestamp64Micro({quoted(n)}) AS {quoted(n)}" if n in instants else quoted(n) for n in names
)
told = chdb.query(f"SELECT {columns} FROM file('{path}', Parquet)", "JSONEachRow").bytes().decode()
theirs = [json.loads(line) for line in told.split("\n") if line]

micros = ", ".join(f"epoch_us({quoted(n)})" for n in instants)
clock = duck.execute(f"SELECT {micros} FROM read_parquet(?)", [path]).fetchall()
assert len(mine) == len(theirs), (len(mine), len(theirs))
for one, other, instant in zip(mine, theirs, clock):
    for name in names:
        expected = instant[instants.index(name)] if name in instants else one[name]
        found = other[name]
        # ClickHouse spells 64-bit numbers as text, and has no list that is unknown.
        if isinstance(expected, int):
            found = int(found)
        if name == "groups":
            found = [int(group) for group in found]
            expected = expected or []
        assert found == expected, (name, found, expected)
    print(json.dumps(one))
