// Ledger scenarios through @libsql/client; tells the test what came of each. `restart` waits for the server.
import { createClient } from "@libsql/client";
import { begun, restarted, tell } from "./telling.mjs";

const { url, token } = begun();
const client = createClient({ url, authToken: token, intMode: "bigint" });
const sum = async (on = client) => (await on.execute("SELECT sum(amount) AS s FROM entry")).rows[0].s;
const add = (who, amount) => ({ sql: "INSERT INTO entry (who, amount) VALUES (?, ?)", args: [who, amount] });

await client.migrate(["CREATE TABLE entry (id INTEGER PRIMARY KEY, who TEXT NOT NULL, amount INTEGER)",
  "CREATE TABLE kept (name TEXT PRIMARY KEY, value)"]);

await client.batch([add("batch", 1), add("batch", 2)], "write");
tell("batch", await sum());
tell("batch undone", await client.batch([add("batch", 10), add(null, 10)], "write").catch((error) => error.code));
tell("nothing of it", await sum());

let tx = await client.transaction("write");
await tx.execute(add("committed", 100));
tell("not seen elsewhere", await sum());
tell("seen inside", await sum(tx));
await tx.batch([add("committed", 200), add("committed", 300)]);
await tx.commit();
tell("committed", await sum());

tx = await client.transaction("write");
await tx.execute(add("rolled back", 1000));
await tx.rollback();
tx = await client.transaction("write");
await tx.execute(add("closed", 1000));
tx.close();
tell("rolled back", await sum());

const values = { big: 9007199254740993n, least: -9223372036854775808n, half: 0.5, text: "Zürich 東京", none: null,
  bytes: new Uint8Array([0, 255, 127]) };
for (const [name, value] of Object.entries(values)) {
  await client.execute({ sql: "INSERT INTO kept VALUES (:name, $value)", args: { name, value } });
}
const found = await client.execute("SELECT name, value FROM kept");
tell("values", found.rows.map((row) => [row.name, row.value instanceof ArrayBuffer ? [...new Uint8Array(row.value)] : row.value]));
await client.executeMultiple("CREATE TABLE many (x); INSERT INTO many VALUES (1), (2); -- two\nDROP TABLE many;");
tell("returning", (await client.execute("INSERT INTO entry (who, amount) VALUES ('returned', 7) RETURNING id, who")).rows[0].who);
await client.execute("DELETE FROM entry WHERE who = 'returned'");
tell("no table", await client.execute("SELECT * FROM nowhere").catch((error) => error.code));
tell("rows", (await client.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n")).rows.length);

tx = await client.transaction("write");
await tx.execute(add("lost", 10000));
await restarted();
tell("a transaction over a restart", await tx.execute(add("lost", 10000)).then(() => tx.commit()).then(() => "committed", () => "refused"));
tell("after the restart", await sum());
await client.execute(add("after", 20));
tell("goes on", await sum());
client.close();
