// The pages that you have opened get a tick in the contents. The list stays in this browser.
(() => {
  const key = "gdexplain-visited";
  try {
    const seen = new Set(JSON.parse(localStorage.getItem(key) || "[]"));
    const root = new URL(document.documentElement.dataset.content_root || "./", location.href).href;
    const name = (address) => new URL(address, location.href).href.slice(root.length).replace(/[?#].*$/, "");
    if (document.querySelector(".crumbs .minutes")) seen.add(name(location.href));
    localStorage.setItem(key, JSON.stringify([...seen]));
    for (const link of document.querySelectorAll(".sidebar-tree a[href]")) {
      if (!seen.has(name(link.getAttribute("href") === "#" ? location.href : link.href))) continue;
      link.classList.add("visited");
      link.title = "opened before";
    }
  } catch {
    // no storage here: no ticks
  }
})();
