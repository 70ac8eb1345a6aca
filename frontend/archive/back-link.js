/** The way from what is open to the list. */

import { icon, make } from "../pages/element.js";
import { t } from "../strings.js";
import { hashOf } from "./place.js";

/** To the list; only where the list is not beside it. @param {import("./place.js").Place} place */
export const backLink = (place) => make("a", { class: "back", href: hashOf({ kind: place.kind, filters: place.filters }) }, icon("back"), t(`list.back-${place.kind}`));
