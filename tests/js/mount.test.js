// Where the client and the element find chatproxy without being told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { mountOf } from "../../chatproxy/static/client/mount.js";

const OURS = {
  "http://127.0.0.1:11435/static/client/mount.js": "http://127.0.0.1:11435/",
  "https://host.example/a/prefix/static/client/mount.js": "https://host.example/a/prefix/",
  "https://host.example/static/dist/chat-interface-XXEP75AX.js": "https://host.example/",
  "https://host.example/static/static/dist/chat-page-ABCDEFG2.js": "https://host.example/static/",
};

const OTHERS = [
  "http://localhost:5173/node_modules/.vite/deps/chatproxy_element.js?v=5b2c0a1d",
  "https://app.example/assets/index-BhK2x9Qz.js",
  "https://app.example/static/js/main.8a1b2c3d.js",
  "https://app.example/static/dist/index-ABCDEFG2.js",
  "https://cdn.example/npm/chatproxy@1/client/mount.js",
  "file:///srv/app/node_modules/chatproxy/client/mount.js",
  "file:///srv/static/client/mount.js",
];

for (const [url, mount] of Object.entries(OURS)) {
  test(`${url} is served by chatproxy`, () => assert.equal(mountOf(url), mount));
}

for (const url of OTHERS) {
  test(`${url} is somebody else's`, () => assert.equal(mountOf(url), null));
}
