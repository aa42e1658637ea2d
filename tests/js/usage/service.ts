// `chatService` as frontends call it: with callbacks that have the types of their own code.

import { chatService, type ChatClient } from "chatproxy";

interface Citation {
  title: string;
  snippet: string;
}

export class Conversation {
  text = "";
  messageId = 0;
  citations: Citation[] = [];
  error: Error | null = null;

  async send(message: string, documentId?: number) {
    const { id } = await chatService.sessions.create();
    await chatService.sendMessageStream(
      id,
      { message, document_id: documentId },
      (chunk: string) => {
        this.text += chunk;
      },
      (fullResponse: string, messageId: number, sources: Citation[]) => {
        this.text = fullResponse;
        this.messageId = messageId;
        this.citations = sources;
      },
      (error: Error) => {
        this.error = error;
      },
    );
  }
}

export const asOf: ChatClient = chatService;
export const complete = (fullResponse: string, messageId: number | null) => void [fullResponse, messageId];
void chatService.sendMessageStream("s", { message: "Hi" }, null, complete, console.error);
void chatService.sendMessageStream("s", { message: "Hi" }, undefined, (fullResponse) => fullResponse.length);
// @ts-expect-error ids are numbers
void chatService.sendMessageStream("s", { message: "Hi" }, null, (text: string, id: string) => text + id);
