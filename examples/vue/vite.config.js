import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

// Vue would take the element for a component of its own.
const isCustomElement = (tag) => tag.startsWith("chat-");

export default defineConfig({ plugins: [vue({ template: { compilerOptions: { isCustomElement } } })] });
