// Files that are dragged onto the page, wherever: a veil says that they may be dropped.

/** @param {DragEvent} event */
const carriesFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files") ?? false;

/** @param {HTMLElement} veil @param {(files: File[]) => void} ondrop */
export function takeDroppedFiles(veil, ondrop) {
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return; // text may be dragged into the field
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) veil.hidden = true; // out of the window, not into another element
  });
  addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    ondrop([...(event.dataTransfer?.files ?? [])]);
  });
}
