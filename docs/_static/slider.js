// Three figures or more in a row, as one piece of code draws them, get a slider that shows one of them; without scripts they
// stand below each other.
(() => {
  for (const first of document.querySelectorAll("article :not(a.enlarge) + a.enlarge")) {
    const row = [];
    for (let next = first; next?.matches("a.enlarge"); next = next.nextElementSibling) row.push(next);
    if (row.length < 6) continue; // each figure is there for both themes
    const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: row.length / 2 - 1, value: 0 });
    slider.className = "figures";
    slider.setAttribute("aria-label", "Figure");
    const show = () => {
      row.forEach((figure, k) => figure.classList.toggle("aside", k >> 1 !== slider.valueAsNumber));
      slider.setAttribute("aria-valuetext", row[2 * slider.valueAsNumber].firstChild.alt);
    };
    slider.addEventListener("input", show);
    first.before(slider);
    show();
  }
})();
