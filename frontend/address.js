/** The address of the server's WebSocket. Pure. */

const LOOPBACK = ["localhost", "127.0.0.1"]; // the names that the server's content security policy can express

/**
 * The WebSocket's address: what the page's address asks for (`?ws=`), else what the page was
 * built with (`<meta name="parley-ws">`, addresses separated by spaces, the first is the usual one),
 * else the server the page came from.
 *
 * A link must not send a visitor's voice to a stranger, so `?ws=` may name only the page's own
 * server, one of the meta tag, or, on a page of this machine, a server of this machine.
 * @param {string} page the page's own address
 * @param {string} [named] the meta tag's content
 * @returns {{address: URL, refused: ?string}} `address` has the scheme ws: or wss:; `refused` is what `?ws=`
 *   asked for, where that is not used
 * @throws {RangeError} where the meta tag has what is no WebSocket address
 */
export function socketAddress(page, named = "") {
  const known = [...named.split(/\s+/).filter(Boolean), "ws/transcribe"].map((each) => webSocketAddress(each, page));
  if (known.includes(null)) throw new RangeError(`${named} is no WebSocket address.`);
  const text = new URL(page).searchParams.get("ws");
  if (text === null) return { address: known[0], refused: null };
  const asked = webSocketAddress(text, page);
  const isKnown = asked && (known.some((each) => isSameServer(each, asked)) || (isLoopback(asked) && isLoopback(new URL(page))));
  return isKnown ? { address: asked, refused: null } : { address: known[0], refused: asked?.host ?? text };
}

/** True where the audio goes to another server than the one the page came from. */
export const isOtherServer = (address, page) => address.host !== new URL(page).host;

/** Null for what is no WebSocket address. */
function webSocketAddress(text, page) {
  if (!URL.canParse(text, page)) return null;
  const address = new URL(text, page);
  address.protocol = { "http:": "ws:", "https:": "wss:" }[address.protocol] ?? address.protocol;
  address.hash = ""; // a WebSocket address must not have one
  return ["ws:", "wss:"].includes(address.protocol) ? address : null;
}

const isSameServer = (one, other) => one.protocol === other.protocol && one.host === other.host;
const isLoopback = (address) => LOOPBACK.includes(address.hostname);
