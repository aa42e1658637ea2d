// The lexer, and what reads its extensions: rendering is markdown/'s.
export { Lexer, Marked } from "marked";
