// Leaves the last hour out of an objective as a person would, by its page, and takes it back.
//
// usage: leave_out.mjs ADDRESS OBJECTIVE
// On standard output: what the page said of its corrections before, with it, and after, as JSON.

import { launch } from "./browser.mjs";

const [address, objective] = process.argv.slice(2);
const browser = await launch();
try {
  const page = await browser.newPage();
  await page.goto(`${address}/slos/${objective}`);
  const corrections = page.locator("section[aria-labelledby=corrections]");
  const dialog = corrections.locator("dialog[open]");
  const said = [await corrections.innerText()];

  await corrections.getByRole("button", { name: "Leave time out" }).click();
  // An empty time is refused by the page, in words.
  await dialog.getByLabel("To").fill("");
  await dialog.getByRole("button", { name: "Leave it out" }).click();
  said.push(await dialog.getByRole("alert").innerText());
  const soon = new Date(Date.now() + 120_000);
  await dialog.getByLabel("To").fill(new Date(soon - soon.getTimezoneOffset() * 60_000).toISOString().slice(0, 16));
  await dialog.getByLabel("Your name").fill("ann");
  await dialog.getByLabel("Note").fill("switch of the database");
  await dialog.getByRole("button", { name: "Leave it out" }).click();
  await corrections.getByText("switch of the database").waitFor();
  said.push(await corrections.innerText());

  await corrections.getByRole("button", { name: "Undo" }).click();
  await dialog.getByLabel("Your name").fill("ben");
  await dialog.getByRole("button", { name: "Undo it" }).click();
  await corrections.getByText("undone by ben").waitFor();
  said.push(await corrections.innerText());
  console.log(JSON.stringify(said));
} finally {
  await browser.close();
}
