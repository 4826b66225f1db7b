// An HTTP/2 server on clear text that does what the path says:
// /status/418, /sleep/500 (ms), /gate/418 (once SIGUSR2 has come), /hang, /reset (RST_STREAM), /midway (resets after its headers),
// /large (4 MiB), /close (ends the connection unanswered), anything else 200. Bodies are read first.
import http2 from "node:http2";

const large = Buffer.alloc(4 << 20, "x");
// A request is in flight before it is read here, so each signal lets one through that came or comes.
const waiting = [];
let passes = 0;
process.on("SIGUSR2", () => (waiting.shift() ?? (() => { passes += 1; }))());
const server = http2.createServer();
server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  const path = headers[":path"];
  const [, what, detail] = path.split("/");
  stream.resume();
  if (what === "hang") return;
  if (what === "reset") return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  if (what === "close") return stream.session.destroy();
  stream.on("end", () => {
    if (what === "status") {
      stream.respond({ ":status": Number(detail), "x-detail": `of ${path}` });
      return stream.end("ok");
    }
    if (what === "gate") {
      const pass = () => { stream.respond({ ":status": Number(detail) }); stream.end("late"); };
      if (passes === 0) return waiting.push(pass);
      passes -= 1;
      return pass();
    }
    if (what === "sleep") {
      return setTimeout(() => { stream.respond({ ":status": 200 }); stream.end("late"); }, Number(detail));
    }
    if (what === "midway") {
      stream.respond({ ":status": 200 });
      stream.write("half");
      return setImmediate(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
    }
    stream.respond({ ":status": 200 });
    stream.end(what === "large" ? large : "ok");
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
