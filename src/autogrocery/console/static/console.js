// The theme, chosen before the first paint, and the focus, which stays where it was when a block is renewed.
(() => {
  const order = ["auto", "dark", "light"];
  const root = document.documentElement;
  const show = (theme) => {
    root.dataset.theme = theme;
    for (const b of document.querySelectorAll("[data-theme-switch]")) {
      if (b.textContent !== "Theme: " + theme) b.textContent = "Theme: " + theme;
    }
  };
  show(order.includes(localStorage.theme) ? localStorage.theme : "auto");
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-switch]")) {
      localStorage.theme = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
      show(localStorage.theme);
    }
  });
  let held = "";
  document.addEventListener("focusin", (event) => { held = event.target.dataset.key || ""; });
  document.addEventListener("DOMContentLoaded", () => {
    show(root.dataset.theme);
    new MutationObserver(() => {
      show(root.dataset.theme);
      if (held && document.activeElement === document.body && !document.querySelector(".q-dialog")) {
        document.querySelector('[data-key="' + CSS.escape(held) + '"]')?.focus({ preventScroll: true });
      }
    }).observe(document.body, { childList: true, subtree: true });
  });
})();
