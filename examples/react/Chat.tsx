// A chat in React: the element, which does everything, and the client, for an interface of your own.

import { useEffect, useRef, useState } from "react";
import { type AnswerStream, createChatClient } from "chatproxy/client";
import type { ChatInterface } from "chatproxy/element";
import type {} from "chatproxy/react";

const client = createChatClient({ baseUrl: "http://127.0.0.1:11435" });

/** The whole chat: one element, registered in the browser only. */
export function Chat({ sessionId, onSession }: { sessionId?: string; onSession: (id: string) => void }) {
  const element = useRef<ChatInterface>(null);

  useEffect(() => {
    void import("chatproxy/element").then(() => element.current?.focus());
  }, []);

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

/** The client alone: one question, its answer as it grows, and a button that stops it. */
export function Ask({ sessionId, question }: { sessionId: string; question: string }) {
  const [text, setText] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const answer = useRef<AnswerStream>(null);

  useEffect(() => {
    const controller = new AbortController();
    setText("");
    setFailure(null);
    answer.current = client.sendMessageStream(
      sessionId,
      { message: question, signal: controller.signal },
      (chunk) => setText((soFar) => soFar + chunk),
      (fullResponse) => setText(fullResponse),
      (error) => error.code !== "aborted" && setFailure(error.message),
    );
    return () => controller.abort(); // this component watches no longer; the answer itself goes on
  }, [sessionId, question]);

  return (
    <section>
      <p>{text}</p>
      {failure && <p role="alert">{failure}</p>}
      <button type="button" onClick={() => void answer.current?.cancel()}>
        Stop
      </button>
    </section>
  );
}
