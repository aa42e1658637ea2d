// The types of entities.js, which the build writes.

export const entities: Record<string, string>;
