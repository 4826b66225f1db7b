// Takes every address out of package-lock.json: `npm ci` needs names, versions and checksums only.
// `--check` only looks: exit 1 when one is found.
import { readFile, writeFile } from "node:fs/promises";

const file = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(await readFile(file, "utf8"));
for (const entry of Object.values(lock.packages)) {
  delete entry.funding;
  delete entry.resolved;
}
const tidy = JSON.stringify(lock, null, 2) + "\n";
if (tidy.includes("://")) {
  console.error("package-lock.json still holds an address");
  process.exit(1);
}
if (process.argv.includes("--check")) {
  if ((await readFile(file, "utf8")) !== tidy) {
    console.error("package-lock.json holds addresses\nhint: run `npm run tidy`");
    process.exit(1);
  }
} else {
  await writeFile(file, tidy);
}
