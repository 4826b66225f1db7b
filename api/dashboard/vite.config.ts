import { defineConfig } from "vite";

const engine = process.env.SLOWBURN_URL ?? "http://127.0.0.1:8420";

export default defineConfig({
  base: "/",
  esbuild: { jsx: "automatic" },
  build: {
    target: "es2022",
    // The page is served under `default-src 'self'`: no data: URI, no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": { target: engine, changeOrigin: true } } },
});
