// Reads a JSON list of {module, manifest}; prints, for each manifest, the index and what the model of its kind says of it.
import { readFileSync } from "node:fs";

for (const [index, { module, manifest }] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  const models = await import(module);
  try {
    new models[manifest.kind](manifest).validate();
  } catch (error) {
    console.log(`${index}: ${error}`);
  }
}
