/** What the server says of itself before the first word: who answers, its languages and profiles. */

import { introduction, replyLabel } from "./answering.js";

/**
 * @param {import("./rest.js").Rest} rest
 * @param {{get: (id: string) => any, settingsView: import("./settings-view.js").SettingsView,
 *          conversation: import("./conversation-view.js").ConversationView}} page
 */
export async function describeServer(rest, { get, settingsView, conversation }) {
  const [engines, profiles] = await Promise.all([rest.ask("engines"), rest.ask("profiles")]);
  if (profiles.body) settingsView.drawProfiles(profiles.body);
  if (!engines.body) return; // a key is wanted first, or the server is older
  const { text, canConnect } = introduction(engines.body.replies);
  get("answering").hidden = false;
  get("answering").dataset.attention = String(canConnect);
  get("answering-text").textContent = text;
  get("connect").hidden = !canConnect;
  conversation.engine = replyLabel(engines.body.replies);
  settingsView.drawLanguages(engines.body.languages);
}
