// Cells as spreadsheets copy and paste them: tabs between cells, lines between rows, quotes where a text has either.

const quoted = (text) => (/[\t\n\r]|^"/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

export const toTsv = (rows) => rows.map((row) => row.map(quoted).join("\t")).join("\n") + (rows.length > 1 ? "\n" : "");

/** The rows in a text; the end of its last line begins none. */
export function fromTsv(text) {
  const rows = [[]];
  for (const [, inQuotes, plain, end] of text.replace(/\r?\n$/, "").matchAll(/(?:"((?:[^"]|"")*)"(?=[\t\r\n]|$)|([^\t\r\n]*))(\t|\r?\n|\r|$)/g)) {
    rows.at(-1).push(inQuotes === undefined ? plain : inQuotes.replaceAll('""', '"'));
    if (end === "") break;
    if (end !== "\t") rows.push([]);
  }
  return rows;
}
