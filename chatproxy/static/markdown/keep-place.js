// Changes of what is above the reader, which must not move what is being read.

/**
 * Change an element in a part that scrolls. What is at the top of that part stays there.
 *
 * @param {Element} element
 * @param {() => void} change
 */
export function keepPlace(element, change) {
  const scroller = element.closest(".log");
  const top = scroller?.getBoundingClientRect().top ?? 0;
  if (!scroller || element.getBoundingClientRect().top >= top) return change();
  const { scrollHeight } = scroller;
  change();
  scroller.scrollTop += scroller.scrollHeight - scrollHeight;
}
