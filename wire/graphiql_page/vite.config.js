import { defineConfig } from "vite";

// The server writes the page itself and reads the hashed names from the manifest.
export default defineConfig({
  base: "/graphiql/",
  build: {
    outDir: "static",
    emptyOutDir: true,
    manifest: "manifest.json",
    rolldownOptions: { input: "src/main.jsx" },
    chunkSizeWarningLimit: 4000,
  },
});
