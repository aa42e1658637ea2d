// `useChat` with chatproxy as its server: the answer goes on while the page is reloaded, and "Stop" stops it.

import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, generateId } from "ai";
import { useRef, useState } from "react";
import { createRoot } from "react-dom/client";

const api = "http://127.0.0.1:11435/api/chat/ui";
const transport = new DefaultChatTransport({ api });

function Chat({ id, earlier }) {
  const [text, setText] = useState("");
  const [waiting, setWaiting] = useState({});
  const input = useRef(null);
  const { messages, sendMessage, regenerate, status, error } = useChat({
    id,
    messages: earlier,
    resume: true, // goes on with the answer that is being written, if there is one
    transport,
    onData: (part) => part.type === "data-status" && setWaiting(part.data),
  });
  const busy = status === "submitted" || status === "streaming";
  const problem = error?.message ?? messages.at(-1)?.metadata?.error?.error; // the latter after a reload

  // Each of these removes its button, which would take the focus with it.
  const again = () => {
    input.current.focus();
    setWaiting({});
    regenerate();
  };

  // `stop()` of `useChat` only leaves, as a reload does. This ends the answer, in every tab that shows it.
  const stop = () => {
    input.current.focus();
    fetch(`${api}/${id}/stop`, { method: "POST" });
  };

  const send = (event) => {
    event.preventDefault();
    input.current.focus();
    if (busy || text.trim() === "") return;
    setWaiting({});
    sendMessage({ text });
    setText("");
  };

  return (
    <main>
      {messages.map((message) => (
        <article key={message.id} className={message.role}>
          {message.parts.map((part, number) => (
            <Part key={number} {...part} />
          ))}
        </article>
      ))}
      {busy && waiting.state !== "generating" && (
        <output>{waiting.position ? `Number ${waiting.position} in the queue…` : "Waiting…"}</output>
      )}
      {problem && (
        <p role="alert">
          {problem} <button onClick={again}>Try again</button>
        </p>
      )}
      <form onSubmit={send}>
        <input
          ref={input}
          autoFocus
          aria-label="Message"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        {busy ? (
          <button key="stop" type="button" onClick={stop}>
            Stop
          </button>
        ) : (
          <button key="send">Send</button>
        )}
        <a href="?">New chat</a>
      </form>
    </main>
  );
}

function Part({ type, text, title, url, data }) {
  if (type === "text") return <div>{text}</div>;
  if (type === "file") return <img src={url} alt="" />;
  if (type === "source-document") return <cite>{title}</cite>;
  if (type === "data-warning") return <cite>{data.message}</cite>;
  if (type !== "reasoning") return null;
  return (
    <details>
      <summary>Thinking</summary>
      {text}
    </details>
  );
}

// The chat's id is in the address, so that a reload shows the same one. It is made with the first message.
const id = new URLSearchParams(location.search).get("id") ?? generateId();
history.replaceState(null, "", `?id=${id}`);
const root = createRoot(document.getElementById("chat"));
try {
  const response = await fetch(`${api}/${id}`);
  if (!response.ok) throw new Error(await response.text());
  root.render(<Chat id={id} earlier={await response.json()} />);
} catch (error) {
  const hint = `Start chatproxy with CORS_ORIGINS=${location.origin}, and reload this page.`;
  root.render(<p role="alert">{error instanceof TypeError ? hint : error.message}</p>);
}
