// An HTTP/2 client that sends each request it is given over one connection, all of a phase at once, and
// says how each ended. Orders: `GET /path`, `POST /path BYTES`, `SLOW /path MS` (an upload that takes so
// long), `CANCEL /path` (gives up after 50 ms). `--` ends a phase: the next begins with a line on the
// input. A first argument `--header=BYTES` adds a header of that many bytes to each.
import http2 from "node:http2";
import readline from "node:readline";

const [port, ...orders] = process.argv.slice(2);
const extra = {};
if (orders[0].startsWith("--header=")) {
  extra["x-large"] = "v".repeat(Number(orders.shift().split("=")[1]));
}
const session = http2.connect(`http://127.0.0.1:${port}`);
session.on("error", () => {});

function send(order) {
  const [word, path, detail] = order.split(" ");
  const method = { CANCEL: "GET", SLOW: "POST" }[word] ?? word;
  return new Promise((done) => {
    const stream = session.request({ ":method": method, ":path": path, ...extra }, { endStream: method === "GET" });
    let status = "none";
    stream.on("response", (headers) => { status = headers[":status"]; });
    stream.on("error", () => {});
    stream.on("close", () => done(`${order}: ${status}`));
    stream.resume();
    if (word === "POST") stream.end(Buffer.alloc(Number(detail), "u"));
    if (word === "SLOW") {
      stream.write("first");
      setTimeout(() => stream.end("last"), Number(detail));
    }
    if (word === "CANCEL") setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 50);
  });
}

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let phase = [];
for (const order of [...orders, "end"]) {
  if (order !== "--" && order !== "end") {
    phase.push(order);
    continue;
  }
  console.log((await Promise.all(phase.map(send))).join("\n"));
  phase = [];
  if (order === "--") {
    console.log("--");
    await lines.next();
  }
}
session.destroy();
process.exit(0);
