// Serves dist/ and made-up data under the policy of the real server. Not shipped.
// PORT=8421 SCENE=incident|calm|empty|down node dev/server.mjs
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { answer, cancel, events, released } from "./fixture.mjs";

const scene = process.env.SCENE ?? "incident";
const dist = new URL("../dist/", import.meta.url);
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const json = (response, status, value) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
const refuse = (response, status, code, message, hint) => json(response, status, { error: { code, message, hint } });

function api(request, response, url) {
  const path = url.pathname.slice("/api/v1".length);
  if (path === "/stream") return stream(response);
  if (scene === "down") return refuse(response, 503, "unavailable", "the database did not answer", "see /readyz for what is missing");
  if (request.method !== "GET") {
    if (request.headers["content-type"] !== "application/json") return refuse(response, 403, "forbidden", "changing routes want `Content-Type: application/json`");
    if (path.endsWith("/cancel")) cancel();
    if (path.startsWith("/limits")) released.add(7);
    return request.method === "DELETE" ? response.writeHead(204).end() : json(response, 200, answer(path.replace("/cancel", ""), url.searchParams, scene));
  }
  const found = answer(path, url.searchParams, scene);
  return found ? json(response, 200, found) : refuse(response, 404, "not_found", `there is no \`${path}\``);
}

function stream(response) {
  if (scene === "down") return response.writeHead(503).end();
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  let told = events(Date.now() / 1000).length;
  const timer = setInterval(() => {
    response.write(`event: tick\ndata: ${JSON.stringify({ at: new Date().toISOString() })}\n\n`);
    const all = scene === "incident" ? events(Date.now() / 1000) : [];
    for (const event of all.slice(told)) response.write(`event: event\nid: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`);
    told = all.length;
  }, 1000);
  response.on("close", () => clearInterval(timer));
}

createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  response.setHeader("content-security-policy", "default-src 'self'");
  try {
    if (url.pathname.startsWith("/api/v1/")) return api(request, response, url);
    const file = extname(url.pathname) ? url.pathname.slice(1) : "index.html";
    const body = await readFile(new URL(file, dist));
    response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" }).end(body);
  } catch (error) {
    refuse(response, error.code === "ENOENT" ? 404 : 500, "failed", String(error.message));
  }
}).listen(Number(process.env.PORT ?? 8421), "127.0.0.1");
