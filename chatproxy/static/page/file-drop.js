// Files dropped anywhere on the page. While they are dragged over it, an overlay says that they can be
// dropped.

/** @param {DragEvent} event */
const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files") ?? false;

/** @param {HTMLElement} overlay @param {(files: File[]) => void} ondrop */
export function acceptDroppedFiles(overlay, ondrop) {
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return; // text can be dragged into the field
    event.preventDefault();
    overlay.hidden = false;
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) overlay.hidden = true; // it left the window, not just an element
  });
  addEventListener("drop", (event) => {
    overlay.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    ondrop([...(event.dataTransfer?.files ?? [])]);
  });
}
