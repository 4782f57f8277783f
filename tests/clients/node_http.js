// Node's http over a Unix socket: an agent that keeps its connection, a stream as a body, a refusal.
const http = require("http");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const ask = (method, path, body) =>
  new Promise((done, fail) => {
    const request = http.request({ socketPath: process.argv[2], agent, method, path }, (answer) => {
      let text = "";
      answer.on("data", (piece) => (text += piece));
      answer.on("end", () => done([answer.statusCode, text]));
    });
    request.on("error", fail);
    for (const piece of body || []) request.write(piece);
    request.end();
  });
(async () => {
  console.log((await ask("GET", "/allowed/node")).join(" "));
  console.log((await ask("POST", "/allowed/node", Array(7).fill("y".repeat(10000)))).join(" "));
  console.log((await ask("GET", "/elsewhere"))[0]);
  agent.destroy();
})();
