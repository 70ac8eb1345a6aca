/** Moments, durations, bytes and money, in the page's language. Pure but for the language. */

import { current, t } from "../strings.js";

/** The page's language as it is written where the reader lives, where the browser says so. */
const locale = () => globalThis.navigator?.languages?.find((each) => each.split("-")[0] === current()) ?? current();

/** "27 November 2026 at 14:03". @param {string} iso */
export const formatMoment = (iso) => new Intl.DateTimeFormat(locale(), { dateStyle: "long", timeStyle: "short" }).format(new Date(iso));

/** "27 Nov, 14:03". @param {string} iso */
export const formatShort = (iso) => new Intl.DateTimeFormat(locale(), { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }).format(new Date(iso));

/** "14:03". @param {string} iso */
export const formatTime = (iso) => new Intl.DateTimeFormat(locale(), { timeStyle: "short" }).format(new Date(iso));

/** "27 November 2026". @param {string} iso a day or a moment */
export const formatDay = (iso) => new Intl.DateTimeFormat(locale(), { dateStyle: "long", ...(iso.length === 10 && { timeZone: "UTC" }) }).format(new Date(iso));

/** The day for a heading: today and yesterday by their names. @param {string} iso @param {Date} now */
export function formatDayHeading(iso, now) {
  const day = new Date(iso);
  const midnight = (/** @type {Date} */ date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((midnight(now) - midnight(day)) / 86_400_000);
  if (days === 0) return t("day.today");
  if (days === 1) return t("day.yesterday");
  return new Intl.DateTimeFormat(locale(), { weekday: "long", day: "numeric", month: "long", ...(day.getFullYear() !== now.getFullYear() && { year: "numeric" }) }).format(day);
}

/** "1:02" or "1:00:09". @param {number} seconds */
export function formatClock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** "3 s", "4 min" or "2 h 5 min". @param {number} seconds */
export function formatLength(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "3.4 MB". @param {number} bytes */
export function formatBytes(bytes) {
  const at = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  const digits = at === 0 ? 0 : 1;
  return `${new Intl.NumberFormat(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(bytes / 1000 ** at)} ${["B", "kB", "MB", "GB"][at]}`;
}

/** Dollars, of small sums with four digits. @param {number} usd */
export const formatUsd = (usd) =>
  new Intl.NumberFormat(locale(), { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: usd !== 0 && usd < 1 ? 4 : 2 }).format(usd);

/** @param {number} value */
export const formatNumber = (value) => new Intl.NumberFormat(locale()).format(value);
