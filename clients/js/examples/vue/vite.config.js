// Vue is told that <seen-by> is no component of its own.

import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [
    vue({ template: { compilerOptions: { isCustomElement: (tag) => tag === "seen-by" } } }),
  ],
});
