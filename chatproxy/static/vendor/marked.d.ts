// The types of marked.js, which the build writes.

import type { MarkedModule } from "../markdown/lexer.js";

export const Lexer: MarkedModule["Lexer"];
export const Marked: MarkedModule["Marked"];
