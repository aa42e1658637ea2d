// Files dropped onto a part of the page. While they are dragged over it, an overlay says that they can be
// dropped.

/** @param {DragEvent} event */
const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files") ?? false;

/**
 * Accept files, unless a part within this one has accepted them.
 *
 * @param {HTMLElement} target
 * @param {HTMLElement} overlay
 * @param {(data: DataTransfer | null) => void} ondrop
 */
export function acceptDroppedFiles(target, overlay, ondrop) {
  target.addEventListener("dragover", (event) => {
    overlay.hidden = event.defaultPrevented || !hasFiles(event); // text can be dragged into the field
    if (!overlay.hidden) event.preventDefault();
  });
  target.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && target.contains(relatedTarget))) overlay.hidden = true;
  });
  target.addEventListener("drop", (event) => {
    overlay.hidden = true;
    if (event.defaultPrevented || !hasFiles(event)) return;
    event.preventDefault();
    ondrop(event.dataTransfer);
  });
}
