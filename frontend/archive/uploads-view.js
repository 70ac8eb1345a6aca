/** Files on their way: one line each with a bar, and what to do. Two are sent at a time, the others wait. */

import { iconButton, make } from "../pages/element.js";
import { t } from "../strings.js";
import { hashOf } from "./place.js";
import { isOver, sentence, share } from "./upload-state.js";
import { FileUpload } from "./upload.js";

const AT_ONCE = 2;
/** Lines that are kept; older ones that are over go. */
const MOST_LINES = 20;

export class UploadsView {
  #element;
  #page;
  #onDone;
  /** @type {{upload: FileUpload, isBegun: boolean}[]} */
  #uploads = [];

  /** @param {HTMLElement} element @param {import("../pages/page.js").PageParts} page @param {() => void} onDone the list has a recording more */
  constructor(element, page, onDone) {
    this.#element = element;
    this.#page = page;
    this.#onDone = onDone;
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      const line = new UploadLine(file.name, () => this.#dismiss(entry));
      const upload = new FileUpload(this.#page.rest, file, (state) => this.#onChange(line, state));
      const entry = { upload, isBegun: false, line };
      this.#uploads.push(entry);
      line.draw(upload.upload);
      this.#element.append(line.element);
    }
    while (this.#uploads.length > MOST_LINES && isOver(this.#uploads[0].upload.upload)) this.#dismiss(this.#uploads[0]);
    this.#begin();
  }

  get isBusy() {
    return this.#uploads.some(({ upload }) => ["sending", "waiting"].includes(upload.upload.stage));
  }

  #begin() {
    const sending = this.#uploads.filter(({ upload, isBegun }) => isBegun && ["sending", "waiting"].includes(upload.upload.stage)).length;
    for (const entry of this.#uploads.filter(({ upload, isBegun }) => !isBegun && !isOver(upload.upload)).slice(0, Math.max(0, AT_ONCE - sending))) {
      entry.isBegun = true;
      entry.upload.run();
    }
  }

  #onChange(line, state) {
    const before = line.stage;
    line.draw(state);
    if (state.stage === before) return;
    if (isOver(state)) this.#page.announce(`${state.name}: ${sentence(state)}`);
    if (state.stage === "done") this.#onDone();
    this.#begin();
  }

  /** Cancel what is not over; take the line of what is. */
  #dismiss(entry) {
    if (!isOver(entry.upload.upload)) return entry.upload.cancel();
    this.#uploads = this.#uploads.filter((each) => each !== entry);
    entry.line.element.remove();
  }
}

class UploadLine {
  #bar;
  #text;
  #link;
  #button;
  element;
  stage = "";

  constructor(name, onDismiss) {
    this.#bar = make("progress", { max: 1, "aria-label": name });
    this.#text = make("span", { class: "upload-text" });
    this.#link = make("a", { class: "upload-open", text: t("upload.open"), hidden: true });
    this.#button = iconButton("close", t("upload.cancel"), onDismiss);
    this.element = make("li", { class: "upload" }, make("b", { text: name, dir: "auto" }), this.#button, this.#bar, make("p", {}, this.#text, " ", this.#link));
  }

  draw(upload) {
    this.stage = upload.stage;
    this.element.dataset.stage = upload.stage;
    const done = share(upload);
    if (done === null) this.#bar.removeAttribute("value");
    else this.#bar.value = done;
    this.#bar.hidden = isOver(upload);
    this.#text.textContent = sentence(upload);
    this.#link.hidden = upload.stage !== "done";
    if (upload.id) this.#link.href = hashOf({ kind: "recordings", id: upload.id });
    const label = t(isOver(upload) ? "notice.dismiss" : "upload.cancel");
    this.#button.setAttribute("aria-label", label);
    this.#button.title = label;
  }
}
