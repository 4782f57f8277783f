"""Runs the queries of deploy/fleet in DuckDB and in ClickHouse, and prints their rows as JSON, a line a query.

Arguments: the folder deploy/fleet, the collector's folder, then pairs of text to put for text in the queries. Fails
where the engines do not give the same rows.
"""

import json
import pathlib
import sys

import duckdb
from chdb import session

fleet, collected = pathlib.Path(sys.argv[1]), sys.argv[2]
replaced = list(zip(sys.argv[3::2], sys.argv[4::2]))


def text(name):
    read = (fleet / name).read_text().replace("/var/log/peergate-fleet", collected)
    for before, after in replaced:
        read = read.replace(before, after)
    return read


def statements(name):
    lines = [line for line in text(name).splitlines() if not line.startswith("--")]
    return [one.strip() for one in "\n".join(lines).split(";") if one.strip()]


duck = duckdb.connect()
click = session.Session()
for name in ("duckdb.sql", "views.sql"):
    for one in statements(name):
        duck.execute(one)
click.query("CREATE DATABASE IF NOT EXISTS fleet")
click.query("USE fleet")
for name in ("clickhouse.sql", "views.sql"):
    for one in statements(name):
        click.query(one)


def spelt(value):
    # ClickHouse spells 64-bit numbers as text in JSON.
    return None if value is None else str(value)


queries = ["denied.sql", "first-seen.sql", "slowest.sql", "request.sql", "heads.sql", "shipped.sql"]
for name in queries + ["disbelieved"]:
    (query,) = statements(name) if name in queries else ["SELECT * FROM disbelieved ORDER BY host, segment, line"]
    found = duck.execute(query)
    columns = [column[0] for column in found.description]
    ours = [[spelt(value) for value in row] for row in found.fetchall()]
    told = click.query(query, "JSONCompact").bytes().decode()
    answer = json.loads(told)
    theirs = [[spelt(value) for value in row] for row in answer["data"]]
    assert [column["name"] for column in answer["meta"]] == columns, (name, columns, answer["meta"])
    assert ours == theirs, (name, [pair for pair in zip(ours, theirs) if pair[0] != pair[1]][:3], len(ours), len(theirs))
    print(json.dumps({"query": name, "rows": [dict(zip(columns, row)) for row in ours]}))
