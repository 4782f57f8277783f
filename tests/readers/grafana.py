"""Reads a dashboard by Grafana's own published models and prints what they did not take, a line each, and how many
panels there were."""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

# Of a variable the query's text for people, and of an annotation what belongs to its data source: Grafana knows them,
# the models of the dashboard pass over them.
FOREIGN = {"definition", "titleFormat", "textFormat"}


def compare(ours, theirs, place):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                compare(value, theirs[key], f"{place}/{key}")
            elif key not in FOREIGN:
                print(f"{place}/{key} is no part of a dashboard")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs)):
            compare(*pair, f"{place}/{number}")
    elif ours != theirs:
        print(f"{place} is {theirs!r} to Grafana and not {ours!r}")


plugins.register_default_plugins()
with open(sys.argv[1], encoding="utf-8") as file:
    dashboard = json.load(file)
read = Dashboard.from_json(dashboard)
compare(dashboard, json.loads(json.dumps(read, cls=JSONEncoder)), "")
print(len(read.panels))
