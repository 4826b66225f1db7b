// Opens the dashboard in headless chromium and reports what a person would see, as JSON on standard output.
//
// usage: browse.mjs ADDRESS DIRECTORY PATH...
// For each path: the text of the page, whether an error was logged, and a screenshot in DIRECTORY.

import { createRequire } from "node:module";

const require = createRequire(new URL("../../api/dashboard/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [address, directory, ...paths] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
const seen = [];
try {
  for (const path of paths) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const errors = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("requestfailed", (request) => errors.push(`${request.url()}: ${request.failure()?.errorText}`));
    await page.goto(address + path);
    await page.waitForSelector("main h1");
    // Live: something on the page changes by itself, without a reload.
    const before = await page.innerText("main");
    // Looked at from here: the page's own policy, rightly, lets nobody evaluate text in it.
    const deadline = Date.now() + 15_000;
    let changed = false;
    while (!changed && Date.now() < deadline) {
      await page.waitForTimeout(200);
      changed = (await page.innerText("main")) !== before;
    }
    if (!changed) errors.push(`nothing on ${path} changed within 15 s`);
    const name = path.replaceAll(/[^a-z0-9]+/gi, "-").replaceAll(/^-|-$/g, "") || "overview";
    await page.screenshot({ path: `${directory}/${name}.png`, fullPage: true });
    seen.push({ path, text: await page.innerText("main"), errors });
    await page.close();
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
