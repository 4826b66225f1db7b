// Node's own HTTP servers. Log what they answered to their standard output: method, path, status.
// usage: server.mjs http|https|http2 [IDLE_MS [CERTIFICATE]]
import http from "node:http";
import https from "node:https";
import http2 from "node:http2";
import { readFileSync, writeSync } from "node:fs";

const [kind, idle = "60000", certificate] = process.argv.slice(2);
const options = certificate ? { key: readFileSync(certificate), cert: readFileSync(certificate) } : {};

const named = { "/missing": 404, "/broken": 500, "/busy": 503, "/moved": 302 };
const big = Buffer.alloc(10 * 1024 * 1024, "x");

const server = { http, https, http2 }[kind].createServer(options, (request, response) => {
  request.on("data", () => {});
  request.on("end", () => {
    const answer = () => {
      const status = named[request.url] ?? 200;
      response.on("finish", () => writeSync(1, `${request.method} ${request.url} ${status}\n`));
      if (request.url === "/chunked") {
        response.writeHead(status);
        for (let piece = 0; piece < 5; piece++) response.write("piece ".repeat(1000));
        response.end();
      } else {
        const body = request.url === "/big" ? big : "fine\n";
        response.writeHead(status, { "Content-Length": body.length });
        response.end(body);
      }
    };
    const wait = /^\/slow\/(\d+)/.exec(request.url);
    if (wait) setTimeout(answer, Number(wait[1]));
    else answer();
  });
});
server.on("upgrade", (request, socket) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  writeSync(1, `${request.method} ${request.url} 101\n`);
  // An echo, a moment later, for as long as the client wants.
  socket.on("data", (bytes) => setTimeout(() => socket.write(bytes), 20));
  socket.on("end", () => socket.end());
  socket.on("error", () => {});
});
server.keepAliveTimeout = Number(idle);
server.listen({ host: "::", port: 8080 });
