// Pictures as they are sent: as they are if they are small, else scaled down, as a photo of 12 megapixels says
// no more to a model than one of 3.

const SMALL = 1024 * 1024; // bytes up to which a picture is sent as it is
const EDGE = 2048; // pixels of the longer side of what is scaled down
const QUALITY = 0.85; // of a JPEG
const SHARP = 4 * 1024 * 1024; // bytes up to which what was sharp, as a screenshot, stays so

/** What models take. */
const TAKEN = ["image/png", "image/jpeg", "image/webp", "image/gif"];
/** What JPEG would blur. */
const LOSSLESS = ["image/png", "image/bmp", "image/gif"];

/** @typedef {import("../chat-interface.js").ImageAttachment} ImageAttachment */

/**
 * Return a file as a picture to send. It throws if the browser cannot read it.
 *
 * @param {File} file
 * @returns {Promise<ImageAttachment>}
 */
export async function readPicture(file) {
  const blob = await reduced(file);
  return { name: file.name, data: await base64(blob), url: URL.createObjectURL(blob) };
}

/** @param {File} file @returns {Promise<Blob>} */
async function reduced(file) {
  const taken = TAKEN.includes(file.type);
  if (taken && file.size <= SMALL) return file;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // upright, as its EXIF data says
  } catch (error) {
    if (taken) return file; // perhaps the model can
    throw error;
  }
  try {
    const scaled = await encoded(bitmap, LOSSLESS.includes(file.type));
    return taken && scaled.size >= file.size ? file : scaled;
  } finally {
    bitmap.close();
  }
}

/**
 * @param {ImageBitmap} bitmap
 * @param {boolean} sharp
 * @returns {Promise<Blob>}
 */
async function encoded(bitmap, sharp) {
  const scale = Math.min(1, EDGE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  if (sharp) {
    const png = await blobOf(canvas, "image/png");
    if (png.size <= SHARP) return png;
  }
  context.globalCompositeOperation = "destination-over"; // a JPEG has no transparency, which would be black
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return blobOf(canvas, "image/jpeg");
}

/** @param {HTMLCanvasElement} canvas @param {string} type @returns {Promise<Blob>} */
function blobOf(canvas, type) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("too large to draw"))), type, QUALITY);
  });
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, "")); // of a data: URL
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
