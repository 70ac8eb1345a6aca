/** Server-sent events from a stream of text. Pure. */

export class EventParser {
  #rest = "";

  /**
   * The events that are whole now.
   * @param {string} text
   * @returns {{event: string, data: string}[]}
   */
  push(text) {
    const blocks = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = blocks.pop() ?? "";
    return blocks.map(parseBlock).filter(({ data }) => data !== "");
  }
}

function parseBlock(block) {
  const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line) ?? []);
  const data = fields.filter(([, name]) => name === "data").map(([, , value]) => value);
  return { event: fields.find(([, name]) => name === "event")?.[2] ?? "message", data: data.join("\n") };
}
