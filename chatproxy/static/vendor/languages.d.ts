// The types of languages.js, which the build writes.

import type { LineStream, Mode } from "../markdown/tokens.js";

export const languages: Record<string, Mode>;
export const StringStream: new (line: string, tabSize: number, indentUnit: number) => LineStream;
