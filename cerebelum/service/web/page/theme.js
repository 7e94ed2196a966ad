// Loaded before anything is painted, so that a page that was made dark does not flash.
(() => {
  const KEY = "cerebelum-theme";
  let chosen = null;
  try {
    chosen = localStorage.getItem(KEY);
  } catch {
    // Without storage it is as the system says.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
