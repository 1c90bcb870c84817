"use strict";
const quoted = (text) => JSON.stringify(text);
function suggest(build) {
  const option = build.querySelector(".b-field").selectedOptions[0];
  const list = build.querySelector("datalist") || document.getElementById(`${build.dataset.target}-values`);
  if (!option || !list) return;
  list.replaceChildren(...JSON.parse(option.dataset.values).map((value) => Object.assign(document.createElement("option"), { value })));
}
function addCondition(build) {
  const option = build.querySelector(".b-field").selectedOptions[0];
  const value = build.querySelector(".b-value");
  const operator = build.querySelector(".b-operator").value;
  if (operator !== "same" && !value.value) { value.focus(); return; }
  const operand = option.dataset.kind === "number" ? value.value : quoted(value.value);
  const condition = operator === "same" ? `${option.value}: SAME_AS_SEED` : `${option.value} ${operator} ${operand}`;
  const field = document.getElementById(build.dataset.target);
  field.value = field.value.trim() ? `${field.value.trim()} AND ${condition}` : condition;
  value.value = "";
  field.dispatchEvent(new Event("change", { bubbles: true }));
  field.focus();
}
function addProduct() {
  const words = document.querySelector(".pick input"), list = document.querySelector("#item_ids");
  const known = [...document.querySelectorAll("#found option")];
  const found = known.find(({ value }) => value === words.value.trim()) || (known.length === 1 && known[0]);
  if (!found) { words.focus(); return; }
  list.value = `${list.value.trim()}\n${found.value}`.trim();
  words.value = "";
  list.dispatchEvent(new Event("change", { bubbles: true }));
  words.focus();
}
document.addEventListener("change", ({ target }) => {
  if (target.matches(".b-field")) suggest(target.closest(".build"));
  if (target.name === "seed") { const user = document.querySelector("[name=user_id]"); if (user && target.value) user.value = ""; }
  if (target.name === "user_id" && target.value) { const none = document.querySelector("[name=seed][value='']"); if (none) none.checked = true; }
});
document.addEventListener("click", ({ target }) => {
  if (target.closest(".pick-add")) addProduct();
  const add = target.closest(".b-add");
  if (add) addCondition(add.closest(".build"));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches(".pick input")) { event.preventDefault(); addProduct(); }
  if (event.key === "Enter" && event.target.matches(".b-value")) { event.preventDefault(); addCondition(event.target.closest(".build")); }
});
document.querySelectorAll(".build").forEach(suggest);
document.querySelector("[role=alert].bad")?.scrollIntoView({ block: "nearest" });
