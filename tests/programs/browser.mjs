// A headless chromium that speaks to nobody but the page it is sent to.

import { createRequire } from "node:module";

const require = createRequire(new URL("../../api/dashboard/package.json", import.meta.url));
const { chromium } = require("playwright-core");

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
