// Shows and hides the sidebar. On a narrow screen it lies over the page, which is then inert.

export const NARROW = matchMedia("(max-width: 48rem)");

export class Sidebar {
  #main;
  #veil;
  #show;

  /** @param {{main: HTMLElement, veil: HTMLElement, show: HTMLElement, hide: HTMLElement}} elements */
  constructor({ main, veil, show, hide }) {
    this.#main = main;
    this.#veil = veil;
    this.#show = show;
    show.addEventListener("click", () => {
      this.setVisible(true);
      hide.focus();
    });
    hide.addEventListener("click", () => {
      this.setVisible(false);
      show.focus();
    });
    veil.addEventListener("click", () => this.setVisible(false));
    addEventListener("keydown", ({ key }) => {
      if (key === "Escape" && main.inert) hide.click();
    });
    NARROW.addEventListener("change", () => this.setVisible(!NARROW.matches));
    this.setVisible(!NARROW.matches);
  }

  /** @param {boolean} visible */
  setVisible(visible) {
    const over = visible && NARROW.matches;
    document.body.classList.toggle("wide", !visible);
    this.#veil.hidden = !over;
    this.#main.inert = over;
    this.#show.setAttribute("aria-expanded", String(visible));
  }
}
