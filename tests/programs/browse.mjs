// Opens the dashboard in headless chromium and reports what a person would see, as JSON on standard output.
//
// usage: browse.mjs ADDRESS DIRECTORY PATH... [--still PATH...]
// For each path: the text of the page, whether an error was logged, and a screenshot in DIRECTORY. A page changes
// by itself while it is looked at, or an error says that it does not; one behind `--still` need not.

import { launch } from "./browser.mjs";

const [address, directory, ...paths] = process.argv.slice(2);
const browser = await launch();
const seen = [];
try {
  for (const path of paths.filter((path) => path !== "--still")) {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const errors = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("requestfailed", (request) => errors.push(`${request.url()}: ${request.failure()?.errorText}`));
    await page.goto(address + path);
    await page.waitForSelector("main h1");
    // Each part of a page asks for itself.
    await page.waitForSelector(".loading", { state: "detached" });
    // Live: something on the page changes by itself, without a reload.
    const before = await page.innerText("main");
    // Looked at from here: the page's own policy, rightly, lets nobody evaluate text in it.
    const deadline = Date.now() + 15_000;
    let changed = paths.includes("--still") && paths.indexOf(path) > paths.indexOf("--still");
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
