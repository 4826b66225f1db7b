// Pictures of every page in both schemes and both widths, and what the console said meanwhile.
// BASE=http://127.0.0.1:8421 OUT=dev/shots ONLY=overview node dev/shots.mjs
import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";

const base = process.env.BASE ?? "http://127.0.0.1:8421";
const out = process.env.OUT ?? new URL("./shots", import.meta.url).pathname;
const all = { overview: "/", slo: "/slos/checkout-availability", fresh: "/slos/fresh", nodata: "/slos/nightly-report", services: "/services", service: "/services/checkout", runs: "/runs", run: "/runs/12", alerts: "/alerts", alert: "/alerts/42", events: "/events" };
const only = process.env.ONLY?.split(",");
const looks = (process.env.LOOKS ?? "light-1280,dark-1280,light-390,dark-390").split(",");

await mkdir(out, { recursive: true });
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
let complaints = 0;
for (const look of looks) {
  const [colorScheme, width] = look.split("-");
  const context = await browser.newContext({ colorScheme, viewport: { width: Number(width), height: 820 }, deviceScaleFactor: Number(process.env.SCALE ?? 1) });
  for (const [name, path] of Object.entries(all)) {
    if (only && !only.includes(name)) continue;
    const page = await context.newPage();
    const say = (text) => { complaints += 1; console.log(`${name} ${look}: ${text}`); };
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && say(message.text()));
    page.on("pageerror", (error) => say(String(error)));
    await page.goto(base + path);
    await page.waitForSelector("main h1");
    await page.waitForSelector(".loading", { state: "detached", timeout: 8000 }).catch(() => say("still loading"));
    await page.waitForTimeout(Number(process.env.SETTLE ?? 1200));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) say(`${wide} px wider than the window`);
    await page.screenshot({ path: `${out}/${name}-${look}.png`, fullPage: true });
    await page.close();
  }
  await context.close();
}
await browser.close();
process.exitCode = complaints ? 1 : 0;
