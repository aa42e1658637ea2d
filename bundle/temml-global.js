// Temml's chemistry is a script that adds itself to a global.
import temml from "temml/temml.js";

globalThis.temml = temml;
