// Writes src/api.gen.ts from the API's own description. `--check` only compares: exit 1 when it is not current.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const description = new URL("../../openapi.json", import.meta.url);
const output = new URL("../src/api.gen.ts", import.meta.url);
const header = "// Generated from ../openapi.json by `npm run types`. Not edited by hand.\n\n";

const fresh = header + astToString(await openapiTS(description, { alphabetize: true }));

if (process.argv.includes("--check")) {
  const committed = await readFile(output, "utf8").catch(() => "");
  if (committed !== fresh) {
    console.error("src/api.gen.ts is not what ../openapi.json says\nhint: run `npm run types` and commit the result");
    process.exit(1);
  }
  console.log("src/api.gen.ts is current");
} else {
  await writeFile(output, fresh);
}
