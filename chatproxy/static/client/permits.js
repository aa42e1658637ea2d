// Four streams at once for all pages of an origin: over HTTP/1.1, a browser has six connections to a server for
// all of its tabs, and what needs another one waits. Two are left for everything else.
//
// A permit to stay connected is a Web Lock. A page that is seen and finds none free says so on a channel, and
// hidden pages give theirs back. Without a permit, a stream is read again and again as far as it goes.
//
// Where there are no Web Locks (plain HTTP from another machine), each page counts its own streams only. Each new
// one is said on the channel, so that of the hidden ones the newest remains.

const STREAMS = 4;
const PATIENCE = 100; // ms in which hidden pages give back their permits

/** The locks of one page, for where there are no Web Locks. */
const pageLocks = {
  /** @type {Map<string, Promise<unknown>>} who asked last for each */
  last: new Map(),

  /**
   * @param {string} name
   * @param {LockOptions} options
   * @param {(lock: object | null) => unknown} hold
   */
  async request(name, { ifAvailable }, hold) {
    const before = this.last.get(name);
    if (before && ifAvailable) return hold(null);
    const turn = Promise.resolve(before).then(() => hold({}));
    this.last.set(name, turn);
    await turn;
    if (this.last.get(name) === turn) this.last.delete(name);
  },
};

/** Whether there is somebody to see this: workers, and programs other than browsers, are never hidden. */
const isHidden = () => globalThis.document?.hidden ?? false;

export class Permit {
  /** Whether it should be given back. */
  wanted = false;
  onwanted = () => {};
  #release;
  #channel;

  /** @param {() => void} release @param {BroadcastChannel} [channel] on which others say that they need one */
  constructor(release, channel) {
    this.#release = release;
    this.#channel = channel;
    if (channel) channel.onmessage = () => this.#handleWanted();
  }

  #handleWanted() {
    if (!isHidden()) return;
    this.wanted = true;
    this.onwanted();
  }

  release() {
    this.#channel?.close();
    this.#release();
  }
}

/**
 * Return a permit for a stream of this server; null if there is none within `ms`. A hidden page lets that much
 * time pass before it takes one.
 *
 * @param {string} baseUrl
 * @param {number} ms
 * @param {AbortSignal} signal ends the wait
 */
export const takePermit = async (baseUrl, ms, signal) => {
  const name = nameOf(baseUrl);
  if (name === undefined) return new Permit(() => {});
  const names = Array.from({ length: STREAMS }, (_, index) => `${name} ${index}`);
  if (isHidden() && ms > 0) await interval(ms, signal).over;
  const channel = openChannel(name);
  if (!channel) return new Permit(() => {});
  let release = await takeFree(names);
  if (!release && !isHidden()) {
    channel.postMessage("wanted");
    release = await waitForFree(names, interval(Math.max(ms, PATIENCE), signal));
  } else if (release && !navigator.locks) {
    channel.postMessage("taken");
  }
  if (release) return new Permit(release, channel);
  channel.close();
  return null;
};

/** Return null where the page may not use any. @param {string} name */
const openChannel = (name) => {
  try {
    return new BroadcastChannel(name);
  } catch {
    return null;
  }
};

/**
 * Wait until no other message is being sent without a permit, and return what lets the next one be sent: a large
 * one takes its time, and so does one whose answer comes as JSON.
 *
 * @param {string} baseUrl
 * @param {AbortSignal} signal ends the wait
 */
export const takeTurn = async (baseUrl, signal) => {
  const name = nameOf(baseUrl);
  return (name && (await lock(`${name} sending`, { signal }))) || (() => {});
};

/**
 * Return what locks for the server's connections are called; undefined if these are not few: in what is no
 * browser, and over HTTP/2 or 3.
 *
 * @param {string} baseUrl
 */
const nameOf = (baseUrl) => {
  if (!("isSecureContext" in globalThis && "BroadcastChannel" in globalThis)) return undefined;
  const origin = originOf(baseUrl);
  const requests = /** @type {PerformanceResourceTiming[]} */ ([
    ...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource"),
  ]);
  const isOneConnection = requests.some(
    ({ name, nextHopProtocol }) => name.startsWith(`${origin}/`) && /^h[23]/.test(nextHopProtocol),
  );
  return isOneConnection ? undefined : `chatproxy streams of ${origin}`;
};

/** @param {string} url @returns {string} "" if it is none, as the request will say */
const originOf = (url) => {
  try {
    return new URL(url, globalThis.document?.baseURI ?? location.href).origin;
  } catch {
    return "";
  }
};

/** @param {string[]} names @returns {Promise<(() => void) | null>} */
const takeFree = async (names) => {
  for (const name of names) {
    const release = await lock(name, { ifAvailable: true });
    if (release) return release;
  }
  return null;
};

/**
 * Wait for whichever of the locks is free first.
 *
 * @param {string[]} names
 * @param {ReturnType<typeof interval>} wait
 * @returns {Promise<(() => void) | null>}
 */
const waitForFree = async (names, wait) => {
  const taking = names.map(async (name) => {
    const release = await lock(name, { signal: wait.signal });
    if (release) wait.end();
    return release;
  });
  await wait.over;
  const [release = null, ...others] = (await Promise.all(taking)).filter((taken) => taken !== null);
  for (const other of others) other(); // granted in the same moment
  return release;
};

/**
 * Take a lock, and return what releases it; null if it is not free.
 *
 * @param {string} name
 * @param {LockOptions} options
 * @returns {Promise<(() => void) | null>}
 */
const lock = async (name, options) => {
  try {
    return await lockIn(navigator.locks ?? pageLocks, name, options);
  } catch {
    if (options.signal?.aborted) return null;
    return lockIn(pageLocks, name, options); // a sandboxed page may have no Web Locks
  }
};

/**
 * @param {{request: Function}} locks
 * @param {string} name
 * @param {LockOptions} options
 * @returns {Promise<(() => void) | null>}
 */
const lockIn = (locks, name, options) =>
  new Promise((resolve, reject) => {
    const { signal } = options;
    const hold = (/** @type {object | null} */ taken) =>
      taken && !signal?.aborted && new Promise((release) => resolve(() => release(null)));
    signal?.addEventListener("abort", () => resolve(null));
    locks.request(name, options, hold).then(() => resolve(null), reject);
  });

/**
 * Begin a time that also ends when the page is shown or hidden, or with the signal.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 */
const interval = (ms, signal) => {
  const controller = new AbortController();
  const end = () => controller.abort();
  const over = new Promise((resolve) => controller.signal.addEventListener("abort", resolve));
  const timer = setTimeout(end, ms);
  const { signal: ended } = controller;
  signal.addEventListener("abort", end, { signal: ended });
  globalThis.document?.addEventListener("visibilitychange", end, { signal: ended });
  ended.addEventListener("abort", () => clearTimeout(timer));
  if (signal.aborted) end();
  return { end, over, signal: ended };
};
