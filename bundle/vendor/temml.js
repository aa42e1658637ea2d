// From TeX to a tree of MathML nodes, with chemistry (`\ce`).
import "../temml-global.js";
import "temml/contrib/mhchem/mhchem.js";

export const toTree = globalThis.temml.__renderToMathMLTree;
delete globalThis.temml;
