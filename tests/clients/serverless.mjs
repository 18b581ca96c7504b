// Ledger scenarios through @tursodatabase/serverless; tells the test what came of each.
import { connect } from "@tursodatabase/serverless";
import { begun, restarted, tell } from "./telling.mjs";

const { url, token } = begun();
const open = () => connect({ url, authToken: token });
const db = open(), other = open();
const sum = async (on = db) => (await (await on.prepare("SELECT sum(amount) AS s FROM entry")).get()).s;
const ADD = "INSERT INTO entry (who, amount) VALUES (?, ?)";

await db.exec("CREATE TABLE entry (id INTEGER PRIMARY KEY, who TEXT NOT NULL, amount INTEGER); CREATE TABLE kept (name TEXT PRIMARY KEY, value)");
await db.batch([{ sql: ADD, args: ["batch", 1] }, { sql: ADD, args: ["batch", 2] }], "immediate");
tell("batch", await sum());
tell("batch undone", await db.batch([{ sql: ADD, args: ["batch", 10] }, { sql: ADD, args: [null, 10] }], "immediate").then(() => "done", () => "refused"));
tell("nothing of it", await sum());

await db.transaction(async () => {
  await db.run(ADD, ["committed", 100]);
  tell("not seen elsewhere", await sum(other));
  await db.run(ADD, ["committed", 500]);
})();
tell("committed", await sum(other));
await db.transaction(async () => {
  await db.run(ADD, ["rolled back", 1000]);
  throw new Error("no");
})().catch(() => null);
tell("rolled back", await sum());

const values = { half: 0.5, text: "Zürich 東京", none: null, bytes: new Uint8Array([0, 255, 127]) };
for (const item of Object.entries(values)) await db.run("INSERT INTO kept VALUES (?, ?)", item);
const found = await (await db.prepare("SELECT name, value FROM kept")).all();
tell("values", found.map(({ name, value }) => [name, value?.length !== undefined && typeof value !== "string" ? [...value] : value]));
let rows = 0;
const many = await db.prepare("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n");
for await (const row of many.iterate()) if (row) rows += 1;
tell("rows", rows);

await db.exec("BEGIN IMMEDIATE");
await db.run(ADD, ["lost", 10000]);
await restarted();
tell("a transaction over a restart", await db.run(ADD, ["lost", 10000]).then(() => db.exec("COMMIT")).then(() => "committed", () => "refused"));
const after = open();
tell("after the restart", await sum(after));
await after.run(ADD, ["after", 20]);
tell("goes on", await sum(after));
