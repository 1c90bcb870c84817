// Bundle and minify the kit. The service serves a copy of the result: run this after each change of src/.
import { copyFile, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";

const minifiedCss = {
  name: "minified-css",
  setup(hooks) {
    hooks.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};
const [outfile = "dist/kit.js"] = process.argv.slice(2);
await build({
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  charset: "utf8",
  target: ["chrome120", "firefox124", "safari17.4"],
  plugins: [minifiedCss],
  outfile,
});
if (outfile === "dist/kit.js") await copyFile(outfile, "../serving/static/kit/kit.js");
const code = await readFile(outfile);
console.log(`${code.length} bytes, ${gzipSync(code, { level: 9 }).length} with gzip`);
