// The clientMessageId of a new message, by which the server recognises a message that is sent again.

const BYTES = 12;

/**
 * Return an id in hexadecimal that is unique within its session.
 *
 * `crypto.randomUUID` is missing on insecure origins, `crypto` itself in Node 18. The id is not a secret, so
 * `Math.random` is good enough there.
 */
export const newMessageId = () => {
  const random = globalThis.crypto?.getRandomValues(new Uint8Array(BYTES));
  const bytes = random ?? Uint8Array.from({ length: BYTES }, () => Math.random() * 256);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
};
