// Runs before anything is drawn, so that no light page flashes where a dark one is wanted.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("vatra.theme");
  } catch {
    // Storage is forbidden: the system's own choice holds.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
