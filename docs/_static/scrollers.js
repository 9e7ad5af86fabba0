// What scrolls sideways takes the keyboard's focus, so that its arrow keys reach the far end; what fits does not.
(() => {
  const boxes = document.querySelectorAll("article :is(pre, .cell_output, .katex-display, div.math, .table-wrapper, .sphx-glr-script-out)");
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const scrolls = target.scrollWidth > target.clientWidth && getComputedStyle(target).overflowX !== "visible";
      if (scrolls) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  boxes.forEach((box) => watch.observe(box));
})();
