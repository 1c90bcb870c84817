/* A product: a few words beside the pointer, and a panel with its attributes and similar products. */
const tip = $("#tip");
function showTip() {
  tip.hidden = hovered < 0 || hovered === opened;
  if (tip.hidden) return;
  showPhoto($("#tip canvas"), hovered);
  $("#tip b").textContent = titleOf(hovered);
  $("#tip span").textContent = fieldsOf(hovered).find(([name]) => name === nameOf(column))?.[1] ?? "";
  const [x, y] = [screenX(hovered), screenY(hovered)];
  tip.style.left = `${Math.max(8, x + tip.offsetWidth + 22 > innerWidth ? x - tip.offsetWidth - 14 : x + 14)}px`;
  tip.style.top = `${Math.max(8, Math.min(y + 14, innerHeight - tip.offsetHeight - 8))}px`;
}
function hover(i) {
  canvas.classList.toggle("over", i >= 0);
  if (i !== hovered) { hovered = i; draw(); showTip(); }
}

/* A product as a button, with its photo. */
function productButton(i, width) {
  const button = make("button", { onclick: () => openProduct(i), onmouseenter: () => hover(i), onmouseleave: () => hover(-1) });
  button.dataset.id = data.ids[i];
  if (width && data.has_image[i]) button.append(showPhoto(make("canvas", { className: "photo", width, height: width }), i));
  button.append(make("span", { textContent: titleOf(i) }));
  return make("li", {}, button);
}
function openProduct(i) {
  opened = i;
  $("#product").hidden = false;
  showPhoto($("#product header canvas"), i);
  $("#product-title").textContent = titleOf(i);
  $("#product dl").replaceChildren(...[["id", data.ids[i]], ...fieldsOf(i)].flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  $("#neighbours").replaceChildren(...neighboursOf(i).map((j) => productButton(j, 88)));
  const link = $("#product a");
  link.hidden = !data.shop_url;
  if (data.shop_url) link.href = data.shop_url.replaceAll("{id}", encodeURIComponent(data.ids[i]));
  $("#product .body").scrollTop = 0;
  $("#product-title").focus({ preventScroll: true });
  hover(-1); reveal(i); draw();
}
function closeProduct() {
  if ($("#product").contains(document.activeElement)) canvas.focus();
  opened = -1; $("#product").hidden = true; draw();
}
$("#close").onclick = closeProduct;
