// From lines of code to pieces with a kind, by the modes of CodeMirror, which are loaded with the first code in a
// language that they know. A mode needs nothing of the lines before but its state at their end.

import { Later } from "../dom/later.js";

/**
 * @typedef {object} LineStream one line, and how far it is read
 * @property {number} start
 * @property {number} pos
 * @property {() => boolean} eol
 * @property {() => string} current
 *
 * @typedef {object} Mode a language of CodeMirror's
 * @property {(indentUnit: number) => object} [startState]
 * @property {(state: any) => object} [copyState]
 * @property {(state: any) => void} [blankLine]
 * @property {(stream: LineStream, state: any) => string | null | undefined} token
 *
 * @typedef {object} Piece
 * @property {string} text
 * @property {string} kind "" if it has the colour of the text
 */

const INDENT = 4;
const LONG_LINE = 2048; // characters; a line that is longer is one piece, as it may be read again with each word
const ATTEMPTS = 10; // of a mode, to read something

/** Languages by what else models call them. */
const ALIASES = new Map(
  Object.entries({
    c: "h",
    cpp: "c++ cc cxx hpp hh hxx arduino ino cuda cu",
    csharp: "c# cs dotnet",
    css: "",
    cmake: "cmakelists.txt",
    dart: "",
    diff: "patch udiff",
    dockerfile: "docker containerfile",
    fsharp: "f# fs",
    glsl: "hlsl shader wgsl",
    go: "golang",
    groovy: "gradle jenkinsfile",
    haskell: "hs",
    html: "htm xhtml vue svelte astro handlebars hbs jinja jinja2 django ejs",
    ini: "properties conf cfg env dotenv editorconfig gitconfig systemd desktop",
    java: "",
    javascript: "js jsx mjs cjs node ecmascript",
    json: "json5 jsonc jsonl ndjson geojson webmanifest",
    julia: "jl",
    kotlin: "kt kts",
    latex: "tex",
    less: "",
    lua: "luau",
    matlab: "octave",
    nginx: "nginxconf",
    objectivec: "objective-c objc obj-c",
    ocaml: "ml",
    perl: "pl pm",
    php: "php3 php7 php8 phtml",
    powershell: "ps1 pwsh ps psm1 posh",
    protobuf: "proto",
    python: "py py3 python3 pycon ipython gyp pyi",
    r: "rlang rscript",
    ruby: "rb rake gemfile rails",
    rust: "rs",
    scala: "sc sbt",
    scss: "sass",
    shell: "sh bash zsh ksh fish console shell-session shellscript shellsession terminal makefile make",
    sql: "mysql postgres postgresql pgsql plsql plpgsql tsql sqlite mssql mariadb bigquery psql",
    swift: "",
    toml: "",
    typescript: "ts tsx mts cts",
    vb: "vbnet vb.net visualbasic vba",
    xml: "svg xsd xsl xslt rss atom plist wsdl xaml mathml",
    yaml: "yml docker-compose compose kubernetes k8s",
  }).flatMap(([name, aliases]) => [name, ...aliases.split(" ").filter(Boolean)].map((alias) => [alias, name])),
);

/** @type {[RegExp, string][]} kinds by the first words of a style; the first one counts */
const KINDS = [
  [/comment/i, "comment"],
  [/^(?:inserted|positive)/, "inserted"],
  [/^(?:deleted|negative)/, "deleted"],
  [/definition|^def\b|^function|\.function/i, "definition"],
  [/\bproperty\b/, "property"],
  [/^(?:string|character|quote|regexp|url|link|attributeValue)/, "string"],
  [/keyword|^(?:modifier|self)/i, "keyword"],
  [/^(?:number|atom|bool|literal|null|unit|color|constant)/, "number"],
  [/^(?:tag|angleBracket)/, "tag"],
  [/^(?:type|class|namespace|builtin|standard|variableName\.standard|label)/i, "type"],
  [/^(?:attribute|property|variableName\.special|macro)/i, "property"],
  [/^(?:meta|header|heading|documentMeta|processing|annotation|special)/, "meta"],
];

const modes = new Later(() => import("../vendor/languages.js"));

/**
 * Return the language that the words behind a fence name, if there is a mode for it.
 *
 * @param {string} info
 * @returns {string | undefined}
 */
function languageOf(info) {
  const [, word = ""] = /^\s*[{.]*(?:lang(?:uage)?-)?([^\s,:;{}]+)/i.exec(info) ?? [];
  return ALIASES.get(word.toLowerCase());
}

/**
 * Load the modes, if one of them is for the language that the words behind a fence name, and return whether there is
 * one. Without it, code has no colours.
 *
 * @param {string} info
 */
export async function loadMode(info) {
  const language = languageOf(info);
  return language !== undefined && Boolean((await modes.load())?.languages[language]);
}

/** Reads code line by line. */
export class Tokenizer {
  #mode;
  #stream;
  #state;

  /**
   * @param {Mode} mode
   * @param {new (line: string, tabSize: number, indentUnit: number) => LineStream} stream
   * @param {object} state
   */
  constructor(mode, stream, state) {
    this.#mode = mode;
    this.#stream = stream;
    this.#state = state;
  }

  /**
   * Return a tokenizer that is at the beginning; none while its mode is not loaded.
   *
   * @param {string} info the words behind a fence
   */
  static of(info) {
    const mode = modes.now?.languages[languageOf(info) ?? ""];
    return mode && modes.now && new Tokenizer(mode, modes.now.StringStream, mode.startState?.(INDENT) ?? {});
  }

  /** Return another one that is at the same place. */
  copy() {
    const state = this.#mode.copyState?.(this.#state) ?? copyOf(this.#state);
    return new Tokenizer(this.#mode, this.#stream, state);
  }

  /**
   * Read the next line.
   *
   * @param {string} line without its end
   * @returns {Piece[]}
   */
  read(line) {
    if (!line) this.#mode.blankLine?.(this.#state);
    if (!line || line.length > LONG_LINE) return line ? [{ text: line, kind: "" }] : [];
    const stream = new this.#stream(line, INDENT, INDENT);
    /** @type {Piece[]} */
    const pieces = [];
    while (!stream.eol()) {
      stream.start = stream.pos;
      const kind = kindOf(this.#next(stream));
      const last = pieces.at(-1);
      const text = stream.current();
      if (last && (last.kind === kind || !text.trim())) last.text += text;
      else pieces.push({ text, kind });
    }
    return pieces;
  }

  /** @param {LineStream} stream @returns {string | null | undefined} the style of the next token */
  #next(stream) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const style = this.#mode.token(stream, this.#state);
      if (stream.pos > stream.start) return style;
    }
    stream.pos += 1;
    return null;
  }
}

/**
 * Copy a state as CodeMirror does for modes that do not say how: lists in it are copied, too.
 *
 * @param {object} state
 */
function copyOf(state) {
  const entries = Object.entries(state).map(([name, value]) => [name, Array.isArray(value) ? [...value] : value]);
  return Object.fromEntries(entries);
}

/** @type {Map<string, string>} */
const kinds = new Map(); // by the styles that were seen: the modes have a hundred

/** @param {string | null | undefined} style */
function kindOf(style) {
  if (!style) return "";
  const known = kinds.get(style);
  if (known !== undefined) return known;
  const kind = KINDS.find(([pattern]) => pattern.test(style))?.[1] ?? "";
  kinds.set(style, kind);
  return kind;
}
