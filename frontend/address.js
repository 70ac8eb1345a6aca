/** The address of the server's WebSocket. Pure. */

/**
 * The WebSocket's address: what the page's address names (`?ws=`), else what the page was
 * built with (`<meta name="parley-ws">`), else the server the page came from.
 * @param {string} page the page's own address
 * @param {string} [built] the meta tag's content
 * @returns {URL} with the scheme ws: or wss:
 */
export function socketAddress(page, built = "") {
  const asked = new URL(page).searchParams.get("ws");
  const address = new URL(asked || built || "ws/transcribe", page);
  address.protocol = { "http:": "ws:", "https:": "wss:" }[address.protocol] ?? address.protocol;
  address.hash = ""; // a WebSocket address must not have one
  if (!["ws:", "wss:"].includes(address.protocol)) throw new RangeError(`${address} is no WebSocket address.`);
  return address;
}

/** True where the audio goes to another server than the one the page came from. */
export const isOtherServer = (address, page) => address.host !== new URL(page).host;
