// Programming languages, each as a tokenizer of lines: CodeMirror's modes, whose state at the end of a line is all that
// the next line needs.
import { clike, c, cpp, csharp, dart, java, kotlin, objectiveC, scala, shader } from "@codemirror/legacy-modes/mode/clike";
import { cmake } from "@codemirror/legacy-modes/mode/cmake";
import { css, less, sCSS as scss } from "@codemirror/legacy-modes/mode/css";
import { diff } from "@codemirror/legacy-modes/mode/diff";
import { dockerFile as dockerfile } from "@codemirror/legacy-modes/mode/dockerfile";
import { go } from "@codemirror/legacy-modes/mode/go";
import { groovy } from "@codemirror/legacy-modes/mode/groovy";
import { haskell } from "@codemirror/legacy-modes/mode/haskell";
import { javascript, json, typescript } from "@codemirror/legacy-modes/mode/javascript";
import { julia } from "@codemirror/legacy-modes/mode/julia";
import { lua } from "@codemirror/legacy-modes/mode/lua";
import { fSharp as fsharp, oCaml as ocaml } from "@codemirror/legacy-modes/mode/mllike";
import { nginx } from "@codemirror/legacy-modes/mode/nginx";
import { octave as matlab } from "@codemirror/legacy-modes/mode/octave";
import { perl } from "@codemirror/legacy-modes/mode/perl";
import { powerShell as powershell } from "@codemirror/legacy-modes/mode/powershell";
import { properties as ini } from "@codemirror/legacy-modes/mode/properties";
import { protobuf } from "@codemirror/legacy-modes/mode/protobuf";
import { python } from "@codemirror/legacy-modes/mode/python";
import { r } from "@codemirror/legacy-modes/mode/r";
import { ruby } from "@codemirror/legacy-modes/mode/ruby";
import { rust } from "@codemirror/legacy-modes/mode/rust";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { standardSQL as sql } from "@codemirror/legacy-modes/mode/sql";
import { stex as latex } from "@codemirror/legacy-modes/mode/stex";
import { swift } from "@codemirror/legacy-modes/mode/swift";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { vb } from "@codemirror/legacy-modes/mode/vb";
import { html as markup, xml } from "@codemirror/legacy-modes/mode/xml";
import { yaml } from "@codemirror/legacy-modes/mode/yaml";

export { StringStream } from "@codemirror/streamparser";

/** Return an object that has the words as its keys. */
function words(text) {
  return Object.fromEntries(text.split(" ").map((word) => [word, true]));
}

const phpCode = clike({
  name: "php",
  keywords: words(
    "abstract and as break case catch class clone const continue declare default do echo else elseif enddeclare " +
      "endfor endforeach endif endswitch endwhile enum extends final finally fn for foreach from function global " +
      "goto if implements include include_once instanceof insteadof interface match namespace new or print private " +
      "protected public readonly require require_once return static switch throw trait try use var while xor yield",
  ),
  types: words("array bool callable float int iterable mixed never object parent self string void"),
  builtin: words("count empty exit explode implode isset json_decode json_encode list printf sprintf strlen unset"),
  blockKeywords: words("catch do else elseif for foreach if switch try while finally"),
  defKeywords: words("class enum function interface namespace trait"),
  atoms: words("true false null TRUE FALSE NULL __CLASS__ __DIR__ __FILE__ __FUNCTION__ __LINE__ __METHOD__"),
  multiLineStrings: true,
  hooks: {
    $(stream) {
      stream.eatWhile(/[\w$]/);
      return "variableName.special";
    },
    "#"(stream) {
      if (stream.peek() === "[") return false;
      stream.skipToEnd();
      return "comment";
    },
  },
});

const SCRIPTS = { script: javascript, style: css };

/** HTML with its scripts, its styles and PHP in it. */
const html = {
  startState: () => ({ outer: markup.startState(), mode: null, inner: null, end: null }),
  copyState: ({ outer, mode, inner, end }) => ({ outer: copy(markup, outer), mode, inner: mode && copy(mode, inner), end }),
  token(stream, state) {
    if (!state.mode && stream.match(/^<\?(?:php\b|=)/)) {
      begin(state, phpCode, /\?>/);
      return "meta";
    }
    if (state.mode && stream.string.slice(stream.pos).search(state.end) === 0) {
      state.mode = null;
      if (stream.match("?>")) return "meta";
    }
    if (state.mode) return tokenBefore(state.end, stream, () => state.mode.token(stream, state.inner));
    const style = tokenBefore(/<\?(?:php\b|=)/, stream, () => markup.token(stream, state.outer));
    const tag = state.outer.context?.tagName?.toLowerCase();
    if (stream.current().endsWith(">") && Object.hasOwn(SCRIPTS, tag) && state.outer.tokenize.isInText) {
      begin(state, SCRIPTS[tag], new RegExp(`</${tag}`, "i"));
    }
    return style;
  },
};

/** PHP as models write it: a file begins with markup, a piece of code does not. */
const php = {
  startState: () => ({ ...html.startState(), begun: false }),
  copyState: (state) => ({ ...html.copyState(state), begun: state.begun }),
  token(stream, state) {
    if (!state.begun && stream.eatSpace()) return null;
    if (!state.begun && stream.peek() !== "<") begin(state, phpCode, /\?>/);
    state.begun = true;
    return html.token(stream, state);
  },
};

function begin(state, mode, end) {
  Object.assign(state, { mode, inner: mode.startState(4), end });
}

function copy(mode, state) {
  return mode.copyState ? mode.copyState(state) : { ...state };
}

/** Read a token that ends, at the latest, before what ends its language. */
function tokenBefore(end, stream, token) {
  const from = stream.pos;
  const at = stream.string.slice(from + 1).search(end);
  const line = stream.string;
  if (at >= 0) stream.string = line.slice(0, from + 1 + at);
  const style = token();
  stream.string = line;
  return style;
}

export const languages = {
  c, cmake, cpp, csharp, css, dart, diff, dockerfile, fsharp, glsl: shader, go, groovy, haskell,
  html, ini, java, javascript, json, julia, kotlin, latex, less, lua, matlab, nginx, objectivec: objectiveC, ocaml,
  perl, php, powershell, protobuf, python, r, ruby, rust, scala, scss, shell, sql, swift, toml, typescript,
  vb, xml, yaml,
}; // prettier-ignore
