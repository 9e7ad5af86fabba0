// The way to other versions of this page, from the list in versions.js. No list, no switcher, no request.
"use strict";
(() => {
  const versions = globalThis.gdexplainVersions ?? [];
  const place = document.querySelector(".sidebar-brand");
  const own = versions.find((version) => version.here);
  if (versions.length < 2 || !own || !place) return;

  const root = new URL(document.documentElement.dataset.content_root ?? "./", location.href);
  const page = decodeURI(location.pathname.slice(root.pathname.length)) || "index.html";
  const words = (version) =>
    version.name === version.release ? version.name : `${version.name} (${version.release})`;

  const switcher = document.createElement("details");
  switcher.className = "version-switcher";
  const summary = document.createElement("summary");
  summary.textContent = `Version: ${words(own)}`;
  const list = document.createElement("ul");
  for (const version of versions) {
    const link = document.createElement("a");
    const known = !version.without.includes(page);
    link.href = new URL(`../${version.name}/${known ? page : ""}`, root).href;
    link.textContent = words(version);
    if (version.here) link.setAttribute("aria-current", "true");
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  switcher.append(summary, list);
  place.after(switcher);
})();
