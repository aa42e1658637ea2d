// The types of temml.js, which the build writes.

import type { ToTree } from "../markdown/mathml.js";

export const toTree: ToTree;
