/** Who may listen to a recording, and until when it is kept, in words. Pure. */

import { formatDay } from "../pages/format.js";
import { t } from "../strings.js";

/**
 * @param {{tenant: string, person: ?string}} recording @param {?string} keptUntil a day; null: for ever
 * @returns {{icon: "lock" | "sound" | "clock", text: string}[]}
 */
export function accessNote({ tenant, person }, keptUntil) {
  const who = t("access.who", { tenant });
  const kept = keptUntil ? t("access.until", { day: formatDay(keptUntil) }) : t("access.forever");
  return [{ icon: "lock", text: who }, ...(person ? [{ icon: /** @type {const} */ ("sound"), text: t("access.person", { person }) }] : []), { icon: "clock", text: kept }];
}

/** Links of a store that can sign them, and when they end. @param {Record<string, ?string>} links as `GET /recordings/ID/links` @param {Date} now */
export function signedLinks(links, now) {
  const urls = Object.values(links).filter((url) => url !== null);
  return { urls, until: new Date(now.getTime() + 3_600_000).toISOString() };
}
