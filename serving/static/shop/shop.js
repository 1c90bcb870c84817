"use strict";
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !typing) { event.preventDefault(); document.querySelector("#words").focus(); }
});
document.addEventListener("input", ({ target }) => {
  const output = target.type === "range" && target.parentElement.querySelector("output");
  if (output) output.textContent = (+target.value).toFixed(2);
});
document.addEventListener("reset", ({ target }) => setTimeout(() => {
  for (const range of target.querySelectorAll("[type=range]")) range.parentElement.querySelector("output").textContent = (+range.value).toFixed(2);
}));
document.addEventListener("htmx:beforeRequest", () => { document.querySelector("#trouble").replaceChildren(); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  const input = document.querySelector("#photo input");
  if (!input || !event.dataTransfer.files.length) return;
  event.preventDefault();
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
