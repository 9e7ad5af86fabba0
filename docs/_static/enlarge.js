// A figure opens over the page, as large as the window; without scripts its link leads to the file.
(() => {
  const box = document.createElement("dialog");
  box.className = "enlarged";
  const shut = document.createElement("button");
  shut.type = "button";
  shut.textContent = "Close";
  box.addEventListener("click", () => box.close());
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("a.enlarge");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const figure = link.querySelector("img").cloneNode();
    box.setAttribute("aria-label", figure.alt);
    box.replaceChildren(shut, figure);
    document.body.append(box);
    box.showModal();
  });
})();
