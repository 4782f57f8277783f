// Checks events against the fields of the Elastic Common Schema: prints what is wrong, a line each, and how many
// events there were. Arguments: the folder of the package @elastic/ecs, the events.
const fs = require("fs");
const { EcsFlat, EcsVersion } = require(process.argv[2]);
const date = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const suits = {
  keyword: (value) => typeof value === "string",
  wildcard: (value) => typeof value === "string",
  match_only_text: (value) => typeof value === "string",
  long: (value) => Number.isInteger(value) && Math.abs(value) < 2 ** 63,
  date: (value) => typeof value === "string" && date.test(value),
};
let count = 0;
for (const line of fs.readFileSync(process.argv[3], "latin1").split("\n").slice(0, -1)) {
  count += 1;
  const event = JSON.parse(line);
  if (event["ecs.version"] !== EcsVersion) console.log(`version ${event["ecs.version"]}, not ${EcsVersion}`);
  for (const wanted of ["@timestamp", "event.kind", "event.category", "event.type", "event.outcome"]) {
    if (!(wanted in event)) console.log(`no ${wanted}`);
  }
  for (const [name, value] of Object.entries(event)) {
    if (name.startsWith("peergate.")) continue;
    const field = EcsFlat[name];
    if (!field) {
      console.log(`no such field: ${name}`);
      continue;
    }
    const list = (field.normalize || []).includes("array");
    if (list && !Array.isArray(value)) console.log(`${name} is a list`);
    for (const one of Array.isArray(value) ? value : [value]) {
      if (!suits[field.type]) console.log(`${name}: nobody knows ${field.type}`);
      else if (!suits[field.type](one)) console.log(`${name}: ${JSON.stringify(one).slice(0, 100)} is no ${field.type}`);
      const allowed = field.allowed_values;
      if (allowed && !allowed.some((value) => value.name === one)) console.log(`${name}: ${one} is not allowed`);
    }
  }
  for (const category of event["event.category"]) {
    const known = EcsFlat["event.category"].allowed_values.find((value) => value.name === category);
    for (const type of event["event.type"]) {
      if (!known.expected_event_types.includes(type)) console.log(`${type} is not expected of ${category}`);
    }
  }
}
console.log(count);
