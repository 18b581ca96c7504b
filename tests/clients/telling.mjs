// Speaks with the test: lines of JSON out; a line in when the server was started again.
import { once } from "node:events";

process.stdin.setEncoding("utf8");

export const begun = () => JSON.parse(process.argv[2]);

export function tell(name, value) {
  console.log(JSON.stringify([name, value ?? null], (_, each) => (typeof each === "bigint" ? { bigint: String(each) } : each)));
}

export async function restarted() {
  console.log(JSON.stringify(["restart", null]));
  await once(process.stdin, "data");
  process.stdin.unref?.();
}
