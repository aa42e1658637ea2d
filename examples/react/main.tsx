import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Chat } from "./Chat";

createRoot(document.getElementById("app")!).render(
  <StrictMode>
    <Chat onSession={(id) => console.info(`The session is ${id}.`)} />
  </StrictMode>,
);
