// The names of HTML's character references, and what they stand for.
export { characterEntities as entities } from "character-entities";
