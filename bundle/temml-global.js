// Temml's chemistry is a script that adds itself to a global.
import temml from "temml/temml.js";

/** What the page itself has there. */
export const own = Object.getOwnPropertyDescriptor(globalThis, "temml");

globalThis.temml = temml;
