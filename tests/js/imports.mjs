// Import each module that is named by its URL where there is no browser, and where no other module has been.

import { once } from "node:events";
import { Worker } from "node:worker_threads";

const importing = `
  for (const name of ["crypto", "navigator", "document", "window", "HTMLElement", "customElements"]) {
    delete globalThis[name];
  }
  import(require("node:worker_threads").workerData);
`;

for (const module of process.argv.slice(2)) {
  try {
    await once(new Worker(importing, { eval: true, workerData: module }), "exit");
  } catch (error) {
    console.error(module, error);
    process.exitCode = 1;
  }
}
