/** Microphones and loudspeakers to choose from. */

import { t } from "./strings.js";

/**
 * The devices of one kind, for a list. Pure.
 * @param {{kind: string, deviceId: string, label: string}[]} devices as enumerateDevices has them; labels are empty before the
 *   microphone was allowed
 * @param {"audioinput" | "audiooutput"} kind
 * @returns {{value: string, label: string}[]} the system's own first
 */
export function choices(devices, kind) {
  const own = devices.filter((device) => device.kind === kind && device.deviceId && !["default", "communications"].includes(device.deviceId));
  const named = own.map(({ deviceId, label }, at) => ({ value: deviceId, label: label || t("settings.device-number", { number: at + 1 }) }));
  return [{ value: "", label: t("settings.device-default") }, ...named];
}

/** All devices; none in an insecure page. @returns {Promise<MediaDeviceInfo[]>} */
export async function list() {
  return (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
}

/** Whether this browser plays on another device than the system's. */
export const canChooseOutput = () => typeof AudioContext !== "undefined" && "setSinkId" in AudioContext.prototype;
