// What a file becomes: a picture for the model to see, or a document to answer from. And what is meant by a
// paste or a drop that offers several things at once.

/** Pictures by their names, where the system knows no type for them. */
const PICTURE = /\.(avif|bmp|gif|heic|heif|jfif|jpe?g|png|tiff?|webp)$/i;

/** A tag of HTML, or a comment. */
const TAG = /<(?:"[^"]*"|'[^']*'|[^"'>])*>/y;

/** @param {File} file */
export function isPicture({ type, name }) {
  // An SVG is a text, which no model sees as a picture, and which documents are made of.
  return type ? type.startsWith("image/") && type !== "image/svg+xml" : PICTURE.test(name);
}

/**
 * Return the files that a paste means; none if it means its text.
 *
 * What is copied from Excel, Word or PowerPoint is a text, and a picture of it. A picture that is copied in a
 * browser may come with its address, and files may come with their names.
 *
 * @param {DataTransfer | null} data
 * @returns {File[]}
 */
export function filesPasted(data) {
  const files = [...(data?.files ?? [])];
  if (!data || !files.length) return [];
  const text = data.getData("text/plain").trim();
  return text && !isOnlyPicture(data.getData("text/html")) && !areNames(text, files) ? [] : files;
}

/**
 * Return whether this HTML shows pictures and not a word.
 *
 * @param {string} html
 */
function isOnlyPicture(html) {
  if (!/<img\b/i.test(html)) return false;
  for (let at = 0; at < html.length; at = TAG.lastIndex) {
    const start = html.indexOf("<", at);
    if (html.slice(at, start < 0 ? undefined : start).trim()) return false;
    TAG.lastIndex = start;
    if (start < 0 || !TAG.test(html)) return start < 0;
  }
  return true;
}

/**
 * Return whether each line of the text is the name or the address of a file.
 *
 * @param {string} text
 * @param {File[]} files
 */
function areNames(text, files) {
  if (text.length > 65536) return false;
  const lines = text.split(/\r?\n/);
  return lines.length <= files.length && lines.every((line) => files.some(({ name }) => endsWith(line, name)));
}

/** @param {string} line @param {string} name */
function endsWith(line, name) {
  return line === name || line.endsWith(`/${name}`) || line.endsWith(`/${encodeURIComponent(name)}`);
}

/**
 * Return the files of a drop, without folders, which cannot be read, and whether there were any.
 *
 * @param {DataTransfer | null} data
 */
export function filesDropped(data) {
  /** @type {File[]} */
  const files = [];
  let folders = false;
  for (const item of data?.items ?? []) {
    const file = item.kind === "file" ? item.getAsFile() : null;
    if (file && item.webkitGetAsEntry?.()?.isDirectory) folders = true;
    else if (file) files.push(file);
  }
  return { files, folders };
}
