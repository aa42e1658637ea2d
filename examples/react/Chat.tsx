// A chat in React: the element, which is a whole chat, and the client, for an interface of your own.

import { useEffect, useRef, useState } from "react";
import { type AnswerStream, createChatClient } from "chatproxy/client";
import "chatproxy/element"; // registers the element; on a server it does nothing
import type { ChatInterface } from "chatproxy/element";
import type {} from "chatproxy/react";

const client = createChatClient({ baseUrl: "http://127.0.0.1:11435" });

/** The whole chat in one element. */
export function Chat({ sessionId, onSession }: { sessionId?: string; onSession: (id: string) => void }) {
  const element = useRef<ChatInterface>(null);

  useEffect(() => element.current?.focus(), []);

  return (
    <chat-interface
      ref={element}
      client={client}
      session-id={sessionId}
      placeholder="Write a message"
      onchat-session={(event) => onSession(event.detail.session.id)}
      onchat-error={(event) => console.warn(event.detail.code, event.detail.error)}
    />
  );
}

/** The client alone: one message, its answer as it grows, and a button to stop it. */
export function Ask({ sessionId, message }: { sessionId: string; message: string }) {
  const [text, setText] = useState("");
  const [error, setError] = useState<string | null>(null);
  const answer = useRef<AnswerStream>(null);

  useEffect(() => {
    const controller = new AbortController();
    setText("");
    setError(null);
    answer.current = client.sendMessageStream(
      sessionId,
      { message, signal: controller.signal },
      (chunk) => setText((soFar) => soFar + chunk),
      (fullResponse) => setText(fullResponse),
      (failure) => failure.code !== "aborted" && setError(failure.message),
    );
    return () => controller.abort(); // stops watching; the server still finishes the answer
  }, [sessionId, message]);

  return (
    <section>
      <p>{text}</p>
      {error && <p role="alert">{error}</p>}
      <button type="button" onClick={() => void answer.current?.cancel()}>
        Stop
      </button>
    </section>
  );
}
