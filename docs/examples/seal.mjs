/** Seals the `credentials` of an account record, so that the connectors alone can read them.
 *
 * npm install libsodium-wrappers && node seal.mjs PUBLIC_KEY < account.json > sealed.json
 */
import { readFileSync } from "node:fs";
import sodium from "libsodium-wrappers";

await sodium.ready;
const { credentials, ...record } = JSON.parse(readFileSync(0, "utf8"));
const { channel, workspace_id, account_id } = record;
const content = JSON.stringify({ channel, workspace_id, account_id, credentials });
const box = sodium.crypto_box_seal(content, Buffer.from(process.argv[2], "base64"));
const sealed = "v2:" + Buffer.from(box).toString("base64");
process.stdout.write(JSON.stringify({ ...record, sealed }));
