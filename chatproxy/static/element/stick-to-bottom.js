// Keeps a scrolling box at its end while the content grows. If the reader has scrolled up, keeps what is read
// in its place while something above it grows.

const NEAR = 32; // pixels from the end that still count as the end

export class StickToBottom {
  /** Whether the box is kept at its end. */
  active = true;
  #scrollTop = 0;
  /** @type {{element: Element, top: number} | null} what is being read, and where it is on the screen */
  #anchor = null;
  #anchorAt;
  #resizes;

  /**
   * @param {HTMLElement} box
   * @param {Element} content everything in the box
   * @param {() => void} [onchange]
   * @param {(top: number) => Element | undefined} [anchorAt] returns what is read in a box that begins there
   */
  constructor(box, content, onchange = () => {}, anchorAt = () => undefined) {
    this.box = box;
    this.onchange = onchange;
    this.#anchorAt = anchorAt;
    box.addEventListener("scroll", () => this.#handleScroll(), { passive: true });
    this.#resizes = new ResizeObserver(() => this.#update());
    this.#resizes.observe(content);
    this.#resizes.observe(box);
  }

  /** Scroll to the end, and stay there. */
  activate() {
    this.active = true;
    this.#update();
  }

  /** Stay where the reader is. */
  release() {
    this.active = false;
    this.#setAnchor();
  }

  /** Stop observing the box. */
  disconnect() {
    this.#resizes.disconnect();
  }

  /** The distance from the end, in pixels. */
  get #distance() {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }

  #update() {
    if (this.active) {
      this.box.scrollTop = this.box.scrollHeight;
      this.#scrollTop = this.box.scrollTop; // the browser limits it to what is possible
    } else if (this.#anchor?.element.isConnected) {
      const { element, top } = this.#anchor;
      this.box.scrollTop += element.getBoundingClientRect().top - top;
      this.#scrollTop = this.box.scrollTop;
    }
    this.onchange();
  }

  /** Let go when the reader scrolls up, stick again at the end. */
  #handleScroll() {
    const { scrollTop } = this.box;
    if (this.#distance <= NEAR) this.active = true;
    else if (scrollTop < this.#scrollTop) this.active = false;
    this.#scrollTop = scrollTop;
    if (!this.active) this.#setAnchor();
    this.onchange();
  }

  #setAnchor() {
    const element = this.#anchorAt(this.box.getBoundingClientRect().top);
    this.#anchor = element ? { element, top: element.getBoundingClientRect().top } : null;
  }
}
