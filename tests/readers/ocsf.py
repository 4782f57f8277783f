"""Validates events of OCSF, API Activity and Base Event: prints what is wrong, a line each, and how many events there were."""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"
raw = get_ocsf_schema(version=VERSION)


CLASSES = {6003: "api_activity", 0: "base_event"}


def validator(name, profiles):
    schema = OcsfJsonSchemaEmbedded(raw).get_class_schema(class_name=name, profiles=profiles)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def lacking(kind, value, path):
    """What the JSON Schema leaves out: of some attributes an object needs one at least."""
    described = raw["objects"].get(kind) or raw["classes"].get(kind)
    wanted = (described.get("constraints") or {}).get("at_least_one")
    if wanted and not any(name in value for name in wanted):
        yield f"{path}: none of {wanted}"
    for name, attribute in described["attributes"].items():
        if name in value and attribute.get("object_type") and name != "unmapped":
            inside = value[name] if isinstance(value[name], list) else [value[name]]
            for item in inside:
                yield from lacking(attribute["object_type"], item, f"{path}.{name}")


validators = {}
count = 0
for line in open(sys.argv[1], encoding="ascii"):
    event = json.loads(line)
    count += 1
    name = CLASSES[event["class_uid"]]
    kind = (name, *event["metadata"]["profiles"])
    if kind not in validators:
        validators[kind] = validator(name, list(event["metadata"]["profiles"]))
    for error in validators[kind].iter_errors(event):
        print(f"{error.json_path}: {error.message[:300]}")
    for problem in lacking(name, event, "$"):
        print(problem)
    if event["metadata"]["version"] != VERSION:
        print("another version")
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        print("type_uid is not class_uid * 100 + activity_id")
print(count)
