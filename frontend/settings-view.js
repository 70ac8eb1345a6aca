/** The settings drawer: shows the settings, and tells of every change. */

import { canChooseOutput, choices, list } from "./devices.js";
import { retention } from "./consent.js";
import { SPOKEN_LANGUAGES, keyTermsIn } from "./settings.js";
import { LANGUAGES, current, t } from "./strings.js";

const SWITCHES = ["reply", "speak", "hold", "place", "words", "archive"];
/** Lists, by their id, and the setting of each. */
const LISTS = {
  language: "language",
  profile: "profile",
  "microphone-device": "microphone",
  "loudspeaker-device": "loudspeaker",
  theme: "theme",
  interface: "interface",
};

export class SettingsView {
  #get;
  #settings;

  /**
   * @param {(id: string) => any} get an element of the page
   * @param {import("./settings.js").Settings} settings
   * @param {(name: string, value: any) => void} onChange undefined: as it is where nobody decides
   */
  constructor(get, settings, onChange) {
    this.#get = get;
    this.#settings = settings;
    for (const name of SWITCHES) get(name).onchange = ({ target }) => onChange(name, target.checked);
    for (const [id, name] of Object.entries(LISTS)) get(id).onchange = ({ target }) => onChange(name, target.value || undefined);
    get("key-terms").onchange = ({ target }) => onChange("keyTerms", keyTermsIn(target.value));
    get("open-settings").onclick = () => this.open();
    get("recording").onclick = () => this.open("archive");
    get("loudspeaker-field").hidden = !canChooseOutput();
    this.draw(settings, null);
    this.drawLanguages([]);
    this.drawProfiles([]);
    this.#drawList("theme", [["", t("settings.theme-auto")], ["light", t("settings.theme-light")], ["dark", t("settings.theme-dark")]]);
    this.#drawList("interface", [["", t("settings.interface-auto")], ...Object.entries(LANGUAGES)]);
  }

  /** Open the drawer, with this setting in focus. @param {string} [id] */
  open(id) {
    this.#get("settings").showModal();
    if (id) this.#get(id).focus();
    this.drawDevices();
  }

  /** @param {import("./settings.js").Settings} settings @param {?{archive: ?boolean, keepDays: ?number}} session what the server does, where it has said so */
  draw(settings, session) {
    this.#settings = settings;
    for (const name of SWITCHES) this.#get(name).checked = settings[name] ?? false;
    this.#get("archive").checked = settings.archive ?? session?.archive ?? true;
    const kept = session ? t("settings.archive-kept", { kept: retention(session.keepDays) }) : "";
    this.#get("archive-note").textContent = kept + t("settings.archive-note");
    this.#get("key-terms").value = (settings.keyTerms ?? []).join(", ");
    for (const [id, name] of Object.entries(LISTS)) this.#get(id).value = settings[name] ?? "";
  }

  /** @param {string[]} expected languages that the server expects; none: any */
  drawLanguages(expected) {
    const names = new Intl.DisplayNames([current()], { type: "language" });
    const languages = expected.map((code) => names.of(code)).join(", ") || t("settings.language-any");
    const known = SPOKEN_LANGUAGES.map((code) => [code, names.of(code) ?? code]).sort((one, two) => one[1].localeCompare(two[1]));
    this.#drawList("language", [["", t("settings.language-server", { languages })], ["detect", t("settings.language-detect")], ...known]);
  }

  /** @param {{name: string, description: string, default: boolean}[]} profiles of the server */
  drawProfiles(profiles) {
    this.#get("profile-field").hidden = profiles.length === 0;
    const described = profiles.map(({ name, description }) => [name, description ? `${name}: ${description}` : name]);
    this.#drawList("profile", [["", t("settings.profile-server")], ...described]);
  }

  /** Names of devices are known once the microphone has been allowed. */
  async drawDevices() {
    const devices = await list();
    const drawKind = (id, kind) => this.#drawList(id, choices(devices, kind).map(({ value, label }) => [value, label]));
    drawKind("microphone-device", "audioinput");
    drawKind("loudspeaker-device", "audiooutput");
  }

  #drawList(id, options) {
    const select = this.#get(id);
    select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
    const chosen = this.#settings[LISTS[id]] ?? "";
    select.value = options.some(([value]) => value === chosen) ? chosen : "";
  }
}
