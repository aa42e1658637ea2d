// Where chatproxy is mounted, if it is what serves this module: as it is, or in one of the bundles that a release has.

const OURS = /^(https?:\/\/.*\/)static\/(?:client\/mount|dist\/chat-[a-z]+-[0-9A-Z]{8})\.js$/;

/** The address with a slash at its end; null in a bundle that somebody else has made, and where there is no HTTP. */
export const mount = mountOf(import.meta.url);

/** @param {string} url the address of this module, or of the bundle that it is in */
export function mountOf(url) {
  return OURS.exec(url)?.[1] ?? null;
}
