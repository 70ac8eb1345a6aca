import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { ReplyRecordings } from "../recordings.js";

/** Object URLs that remember which of them are revoked. */
class ScriptedUrls {
  blobs = new Map();
  createObjectURL(blob) {
    const url = `blob:${this.blobs.size + 1}`;
    this.blobs.set(url, blob);
    return url;
  }
  revokeObjectURL(url) {
    this.blobs.set(url, null);
  }
  get open() {
    return [...this.blobs].filter(([, blob]) => blob !== null).map(([url]) => url);
  }
}

let urls, recordings;

beforeEach(() => {
  urls = new ScriptedUrls();
  recordings = new ReplyRecordings({ urls, keep: 2 });
});

test("a recording is its MP3 behind an object URL", async () => {
  recordings.add("1.1", btoa("ID3\u0000\u00ff"));

  const blob = urls.blobs.get(recordings.get("1.1"));

  assert.equal(blob.type, "audio/mpeg");
  assert.deepEqual([...new Uint8Array(await blob.arrayBuffer())], [0x49, 0x44, 0x33, 0x00, 0xff]);
});

test("recordings but the newest are revoked, so that memory does not grow with the conversation", () => {
  const dropped = ["1.1", "1.2", "1.3", "1.4"].flatMap((key) => recordings.add(key, btoa(key)));

  assert.deepEqual(dropped, ["1.1", "1.2"]);
  assert.deepEqual(urls.open, [recordings.get("1.3"), recordings.get("1.4")]);
  assert.equal(recordings.get("1.1"), undefined);
});

test("a second recording of a turn takes the place of the first", () => {
  recordings.add("1.1", btoa("one"));

  const dropped = recordings.add("1.1", btoa("two"));

  assert.deepEqual(dropped, []);
  assert.deepEqual(urls.open, [recordings.get("1.1")]);
});
