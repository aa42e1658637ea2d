// What a page can do with the element's events.

const status = document.querySelector("#status");

document.querySelector("chat-interface").addEventListener("chat-done", ({ detail }) => {
  status.textContent = `The answer has ${detail.content.length} characters.`;
});
