// How <chat-interface> looks.

import { styleSheet } from "./base-styles.js";
import { PAPER } from "./media-styles.js";

const CSS = `
:host { --radius: var(--chat-radius, 1.25rem); display: block; block-size: 100%; min-block-size: 16rem; background: var(--bg); }
.frame { display: flex; flex-direction: column; inline-size: 100%; block-size: 100%; position: relative; }
.scroller { flex: 1; min-block-size: 0; position: relative; display: flex; }
.log { flex: 1; min-inline-size: 0; overflow-y: auto; overscroll-behavior: contain; overflow-anchor: none;
  scrollbar-gutter: stable both-edges; outline-offset: -3px; }
.column, .bottom { inline-size: 100%; max-inline-size: var(--chat-width, 46rem); margin-inline: auto; padding-inline: 1rem; }
.column { min-block-size: 100%; display: flex; flex-direction: column; padding-block: 1.5rem .25rem; }
.empty { margin: auto; max-inline-size: 100%; text-align: center; font-size: 1.5rem; font-weight: 500; letter-spacing: -.01em; }
.empty p { margin: 0; }
.suggestions { display: flex; flex-wrap: wrap; justify-content: center; gap: .5rem; margin-block-start: 1.25rem; }
.suggestion { padding: .45rem 1rem; border: 1px solid var(--line); border-radius: 1.25rem; background: var(--bg);
  font-size: .95rem; font-weight: 400; line-height: 1.4; letter-spacing: normal; text-align: start; overflow-wrap: anywhere; }
.suggestion:hover { background: var(--soft); }
.suggestion:disabled { color: var(--muted); cursor: default; }
.earlier { align-self: center; margin-block-end: 1rem; }
.latest { position: absolute; inset-block-end: .75rem; inset-inline-start: 50%; translate: -50%; inline-size: 2.25rem;
  block-size: 2.25rem; border: 1px solid var(--line); border-radius: 50%; background: var(--bg);
  display: grid; place-items: center; box-shadow: 0 2px 8px #0002; }

.message { margin-block-end: 1.75rem; scroll-margin-block-start: 1rem; min-inline-size: 0; position: relative; }
.message.user { display: flex; flex-direction: column; align-items: flex-end; margin-block-end: 1.25rem; }
.message:focus { outline: none; }
.message.shown { outline: 2px solid transparent; outline-offset: .5rem; border-radius: var(--radius); animation: shown 3s ease-in; }
@keyframes shown { from, 60% { outline-color: var(--accent); } }
.message:last-child { margin-block-end: .5rem; }
.message.user .bubble { background: var(--soft); border-radius: var(--radius); padding: .6rem 1rem; max-inline-size: min(85%, 38rem); }
.plain { white-space: pre-wrap; overflow-wrap: anywhere; }
.message.user .content :is(.plain, .code) { margin-block: 0; }
.message.user .content .code { background: var(--bg); margin-block: .3rem; }
.message.user :not(pre) > code { background: var(--bg); }
.message.user .footer { max-inline-size: 100%; }
.content { overflow-wrap: anywhere; min-inline-size: 0; }
/* Each paragraph, list and quote takes its direction from its own first letters; code is always left to right. */
.content :is(p, li, h3, h4, h5, h6, th, td, summary), .plain { unicode-bidi: plaintext; }
.content pre { direction: ltr; text-align: left; }
.content p, .content ul, .content ol, .content blockquote, .content .code, .content .table { margin-block: 0 1rem; }
.content :is(h3, h4, h5, h6) { margin-block: 1.6rem .6rem; line-height: 1.3; font-weight: 600; }
.content h3 { font-size: 1.35rem; } .content h4 { font-size: 1.18rem; } .content :is(h5, h6) { font-size: 1.05rem; }
.content :is(ul, ol) { padding-inline-start: 1.6rem; }
.content .task { list-style: none; margin-inline-start: -1.3rem; }
.content li { margin-block: .3rem; } .content li > p { margin-block: .3rem; } .content li > :is(ul, ol) { margin-block: .2rem; }
.content blockquote, .snippet { border-inline-start: 3px solid var(--line); padding-inline-start: 1rem; color: var(--muted); margin-inline: 0; }
.content hr { border: 0; border-block-start: 1px solid var(--line); margin-block: 1.5rem; }
.content a { color: var(--accent); text-underline-offset: .15em; }
/* Code, keys and addresses are isolated: in text from right to left, their signs would change places. */
:is(code, kbd, samp) { direction: ltr; unicode-bidi: isolate; }
code, kbd, samp { font: .875em/1.5 var(--chat-font-mono, ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace); }
:not(pre) > code, kbd { background: var(--soft); padding: .12em .38em; border-radius: .35em; }
kbd { border: 1px solid var(--line); border-block-end-width: 2px; }
.content :is(sub, sup) { line-height: 0; }
.content mark { background: color-mix(in srgb, var(--accent) 22%, transparent); color: inherit; border-radius: .2em; }
.content details { border: 1px solid var(--line); border-radius: .75rem; padding: .5rem .9rem; margin-block: 0 1rem; }
.content details[open] > summary { margin-block-end: .6rem; }
.content summary { cursor: pointer; font-weight: 600; }
.content details > :last-child { margin-block-end: 0; }
.footnote { display: flex; gap: .5rem; align-items: baseline; font-size: .88rem; color: var(--muted); margin-block-end: .4rem; scroll-margin: 1rem; }
.footnote > div { min-inline-size: 0; flex: 1; }
.footnote p { margin-block: 0 .3rem; }
.code { border: 1px solid var(--line); border-radius: .75rem; overflow: hidden; }
.code-head { display: flex; justify-content: space-between; gap: 1rem; padding: .35rem .9rem; font-size: .8rem;
  color: var(--muted); background: var(--soft); }
.code-head button:hover { color: var(--text); }
.code pre { margin: 0; padding: .85rem .9rem; overflow-x: auto; outline-offset: -3px; overflow-wrap: normal; }
/* A cell takes at most so much of the width that those beside it are not squeezed; what is short stays in one line. */
.table { overflow-x: auto; container-type: inline-size; }
table { border-collapse: collapse; font-size: .94rem; }
:is(th, td) { max-inline-size: max(60cqi, 14rem); min-inline-size: 3rem; }
.short { white-space: nowrap; } .long { min-inline-size: 11rem; }
th, td { padding-block: .5rem; padding-inline: 0 .9rem; text-align: start; border-block-end: 1px solid var(--line); vertical-align: top; overflow-wrap: normal; }
.align-right { text-align: end; } .align-center { text-align: center; }

/* Code. The colours have a contrast of 4.5 at least, on the ground of answers and on that of questions. */
.lines { display: block; }
.code-keyword { color: light-dark(#a0299a, #d9a9f5); }
.code-string, .code-inserted { color: light-dark(#1a6b2f, #a3d9a5); }
.code-number { color: light-dark(#9a4600, #f0b57a); }
.code-comment { color: light-dark(#5c6370, #a3a9b3); font-style: italic; }
.code-definition { color: light-dark(#0b57b8, #8ab8ff); }
.code-type { color: light-dark(#765600, #e3cf7a); }
.code-tag, .code-deleted { color: light-dark(#b3261e, #ff9d94); }
.code-property { color: light-dark(#00666f, #7fd4dc); }
.code-meta { color: light-dark(#6546b8, #c3b0ff); }

/* Formulas; markdown/math-styles.js has what comes with the first one. */
.formula { direction: ltr; unicode-bidi: isolate; white-space: pre-wrap; }
.formula.display { display: block; margin-block: 0 1rem; overflow: auto hidden; text-align: center; outline-offset: -2px; }
li > .formula.display { margin-block: .3rem; }
math { font-family: var(--chat-font-math, math); font-size: 1.08em; font-style: normal; font-weight: normal; line-height: normal;
  text-indent: 0; overflow-wrap: normal; white-space: nowrap; }
math * { border-color: currentcolor; }
.formula:not(.display) > math { display: inline-flex; flex-wrap: wrap; align-items: baseline; max-inline-size: 100%; }

/* The groups of a long text, and the parts of a block that was cut. Margins do not collapse at the ends of a group. */
.group { contain-intrinsic-size: auto 80rem; }
.group + .group { display: flow-root; }
.group.complete { content-visibility: auto; overflow-clip-margin: 3rem; } /* room for the numbers of lists */
.group:first-child > :first-child, .group > .continued { margin-block-start: 0; }
.group:last-child > :last-child, .group > .cut, .cut > :not(li):last-child { margin-block-end: 0; }
.group + .group > :is(h3, h4, h5, h6):first-child { margin-block-start: .6rem; }
.group + .group > hr:first-child { margin-block-start: .5rem; }
.continued > li:first-child, .continued > .continued { margin-block-start: 0; }
li.continued { list-style: none; }
.code.cut { border-block-end: 0; border-end-start-radius: 0; border-end-end-radius: 0; }
.code.continued { border-block-start: 0; border-start-start-radius: 0; border-start-end-radius: 0; }
.code.continued .code-head { display: none; }
.code.cut pre { padding-block-end: 0; } .code.continued pre { padding-block-start: 0; }

.content a.reference { display: inline-block; min-inline-size: 1.5em; padding-inline: .35em; margin-inline: .1em; border-radius: 1em;
  background: var(--soft); color: var(--accent); font-size: .75em; line-height: 1.5; text-align: center; text-decoration: none; vertical-align: .2em; }
.content :is(.footnote, sup) > a.reference { display: inline; min-inline-size: 0; padding-inline: .1em; background: none; vertical-align: baseline; }

.cursor { display: inline-block; inline-size: .5em; block-size: 1.1em; margin-inline-start: .15em; vertical-align: -.2em;
  border-radius: .1em; background: currentColor; animation: blink 1.06s steps(2, jump-none) infinite; }
@keyframes blink { from { opacity: 1; } to { opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .cursor { animation: none; } }

:host([show-thinking="false"]) .thinking { display: none; }
.thinking { margin-block-end: .9rem; color: var(--muted); font-size: .92rem; }
.thinking summary { cursor: pointer; inline-size: fit-content; border-radius: .3rem; }
.thought { border-inline-start: 2px solid var(--line); padding-inline-start: .9rem; margin-block-start: .4rem;
  max-block-size: 40vh; overflow-y: auto; outline-offset: -2px; }

/* Reserve the space of the buttons while the answer streams, and that of the status line always, so that nothing jumps. */
.assistant[data-status="streaming"] .footer { padding-block-end: 2.3rem; }
.status { min-block-size: calc(1.65em + .5rem); }
.status[hidden] { display: block !important; visibility: hidden; }
.note, .facts { color: var(--muted); font-size: .85rem; }
.note { margin: .5rem 0 0; }
.shortened + .user + .shortened .where-shortened { display: none; }
.failure { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; margin-block-start: .5rem; padding: .6rem .9rem;
  border: 1px solid color-mix(in srgb, var(--danger) 45%, transparent); border-radius: .75rem; color: var(--danger); font-size: .92rem; }
.failure p { margin: 0; flex: 1 1 14rem; overflow-wrap: anywhere; }
.retry { display: inline-flex; gap: .4rem; align-items: center; font-weight: 600; padding: .2rem .5rem; margin-inline: -.5rem; border-radius: .5rem; }
.sources { margin-block-start: .75rem; }
.sources ul { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; padding: 0; margin: 0; min-inline-size: 0; }
.sources li { min-inline-size: 0; max-inline-size: min(20rem, 100%); }
.chip { display: inline-flex; align-items: center; gap: .35rem; max-inline-size: 100%; white-space: nowrap; border: 1px solid var(--line);
  border-radius: 2rem; padding: .15rem .75rem; font-size: .82rem; color: var(--muted); }
.chip :is(.title, .place) { overflow: hidden; text-overflow: ellipsis; min-inline-size: 2.5rem; }
.chip .title { flex: 0 3 auto; } .chip .page { flex: none; }
.chip svg { flex: none; }
.chip .place::before { content: "· "; }
.chip.uncited { border-style: dashed; }
.chip:hover, .chip[aria-expanded="true"] { color: var(--text); background: var(--soft); }
.snippet { margin-block: .6rem 0; font-size: .88rem; white-space: pre-wrap; max-block-size: 14rem; overflow: auto; overflow-wrap: anywhere; }
.snippet mark { background: color-mix(in srgb, var(--accent) 22%, transparent); color: var(--text); border-radius: .2em; }
.actions { display: flex; flex-wrap: wrap; align-items: center; gap: .15rem; margin-block-start: .4rem; color: var(--muted); min-block-size: 1.9rem; }
.assistant .actions { margin-inline-start: -.45rem; }
.actions button { padding: .4rem; border-radius: .5rem; font-size: .95rem; }
.actions button:hover { background: var(--soft); color: var(--text); }
.actions .facts { padding: .2rem .4rem; font-size: .85rem; text-align: start; }
.user .actions { justify-content: flex-end; opacity: 0; margin-block-start: .15rem; }
.user:is(:hover, :focus-within) .actions { opacity: 1; }
@media (hover: none) { .user .actions { opacity: 1; } }
.assistant:not(:last-child) :is(.needs-last, .retry) { display: none; } /* it would replace what follows */
.assistant:not(.user + .assistant) :is(.regenerate, .retry) { display: none; } /* whose question was deleted */
:host(:is([busy], [disabled])) .needs-idle, .earlier-version .needs-latest { display: none; }
.versions { display: inline-flex; align-items: center; font-size: .85rem; font-variant-numeric: tabular-nums; }
.versions [aria-disabled="true"] { opacity: .4; cursor: default; }
.time { font-size: .8rem; padding-inline: .4rem; }
.facts-list { list-style: none; margin: .2rem 0 0; padding: 0; color: var(--muted); font-size: .85rem; }
.confirm { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; margin-block-start: .4rem; font-size: .9rem; }
.user .confirm { justify-content: flex-end; }
.danger { color: var(--danger); }
.continue { margin-inline-start: .3rem; }
.images { display: flex; flex-wrap: wrap; gap: .5rem; justify-content: flex-end; margin-block-start: .5rem; }
.images img { max-inline-size: 12rem; max-block-size: 9rem; border-radius: .75rem; object-fit: cover; display: block; }
.images img:not([src]) { inline-size: 9rem; block-size: 9rem; background: var(--soft); }
.images button { display: flex; align-items: center; gap: .5rem; color: var(--muted); }
.bubble[hidden] ~ .footer > .images { margin-block-start: 0; }
.edit { inline-size: 100%; background: var(--soft); border-radius: var(--radius); padding: .75rem 1rem; }
.edit-field { inline-size: 100%; border: 0; background: none; resize: none; field-sizing: content; min-block-size: 3rem; max-block-size: 40vh; outline: 0; }
.edit:focus-within { outline: 2px solid var(--accent); }
.buttons { display: flex; justify-content: flex-end; gap: .5rem; }
.quiet, .strong { padding: .3rem .9rem; border-radius: 2rem; border: 1px solid var(--line); background: var(--bg); font-size: .9rem; }
.strong { background: var(--strong); color: var(--on-strong); border-color: transparent; }

.bottom { padding-block-end: max(.9rem, env(safe-area-inset-bottom)); }
.notice { color: var(--danger); font-size: .9rem; padding: .1rem .9rem .4rem; overflow-wrap: anywhere; }
.notice.hint { color: var(--muted); }
.status { color: var(--muted); font-size: .85rem; padding: .1rem .9rem .4rem; font-variant-numeric: tabular-nums; }
.composer { display: grid; grid-template-columns: auto 1fr auto; align-items: end; gap: .25rem; padding: .4rem;
  border: 1px solid var(--line); border-radius: 1.75rem; background: var(--chat-input-background, light-dark(#ffffff, #2a2a2d)); box-shadow: 0 2px 12px #0000000f; }
.composer:focus-within { border-color: var(--muted); }
.composer textarea { field-sizing: content; resize: none; border: 0; background: none; padding: .45rem .35rem; max-block-size: 12rem; inline-size: 100%; min-inline-size: 0; line-height: 1.5; outline: 0; }
.composer textarea::placeholder { color: var(--muted); opacity: 1; }
.attach, .send { inline-size: 2.4rem; block-size: 2.4rem; border-radius: 50%; display: grid; place-items: center; }
.attach { color: var(--muted); } .attach:hover { background: var(--soft); color: var(--text); }
.send { background: var(--strong); color: var(--on-strong); }
.send[data-action="stop"] .icon { fill: currentColor; }
.send[aria-disabled="true"] { background: var(--line); color: var(--muted); cursor: default; }
:host([disabled]) .composer { opacity: .6; }
.previews { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: .5rem; padding: .35rem; }
.preview { position: relative; }
.preview img { inline-size: 4rem; block-size: 4rem; object-fit: cover; border-radius: .75rem; display: block; }
.preview[aria-busy] { inline-size: 4rem; block-size: 4rem; border-radius: .75rem; background: var(--soft); animation: pulse 1.2s ease-in-out infinite alternate; }
@keyframes pulse { to { opacity: .5; } }
@media (prefers-reduced-motion: reduce) { .preview[aria-busy] { animation: none; } }
.upload { display: flex; align-items: center; gap: .5rem; min-inline-size: 0; max-inline-size: 100%; color: var(--muted); font-size: .88rem; flex: 0 1 18rem; block-size: 4rem; padding: .5rem .75rem; border-radius: .75rem; background: var(--soft); }
.upload .icon { flex: none; }
.upload .name { flex: 0 1 auto; min-inline-size: 3rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.upload button { flex: none; padding: .35rem; border-radius: 50%; color: var(--muted); }
.upload button:hover { color: var(--text); }
.upload progress { flex: 1 1 4rem; min-inline-size: 3rem; block-size: .4rem; accent-color: var(--accent); }
.drop { position: absolute; inset: 0; z-index: 2; display: grid; place-items: center; padding: 1rem; pointer-events: none;
  background: color-mix(in srgb, var(--bg) 80%, transparent); }
.drop p { margin: 0; padding: 1rem 1.5rem; border: 2px dashed var(--accent); border-radius: 1rem; background: var(--bg); font-weight: 500; text-align: center; }
.preview button { position: absolute; inset-block-start: -.35rem; inset-inline-end: -.35rem; background: var(--strong); color: var(--on-strong);
  border-radius: 50%; padding: .25rem; font-size: .7rem; }
@media (max-width: 40rem) { .column, .bottom { padding-inline: .75rem; } }
`;

export const styles = () => styleSheet(CSS + PAPER);
