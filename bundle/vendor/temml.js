// From TeX to a tree of MathML nodes, with chemistry (`\ce`).
import { own } from "../temml-global.js";
import "temml/contrib/mhchem/mhchem.js";

export const toTree = globalThis.temml.__renderToMathMLTree;
if (own) globalThis.temml = own.value;
else delete globalThis.temml;
