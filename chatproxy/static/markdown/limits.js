// What has a module of its own, as modules that are loaded apart need it.

export const LONG = 2048; // characters of the shortest block that is cut while it grows
