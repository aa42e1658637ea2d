// What a page can do with the element's events.

const said = document.querySelector("#said");

document.querySelector("chat-interface").addEventListener("chat-done", ({ detail }) => {
  said.textContent = `The answer has ${detail.content.length} characters.`;
});
