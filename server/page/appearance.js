// Light, dark, or as the system is; theme.js reads the choice before the page is drawn.

import { icon, iconButton, say } from "./dom.js";

const THEMES = { auto: "as the system", light: "light", dark: "dark" };
const root = document.documentElement;

/** A button that goes from one to the next. */
export function themeButton() {
  const button = iconButton("auto", "Colours", next, { id: "theme" });
  const draw = () => {
    const theme = root.dataset.theme ?? "auto";
    const label = `Colours: ${THEMES[theme]}`;
    button.replaceChildren(icon(theme));
    button.setAttribute("aria-label", label);
    button.title = label;
    return label;
  };
  function next() {
    const names = Object.keys(THEMES);
    const theme = names[(names.indexOf(root.dataset.theme ?? "auto") + 1) % names.length];
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      localStorage.setItem("vatra.theme", theme);
    } catch {
      // Kept until the page is left.
    }
    say(draw());
  }
  draw();
  return button;
}
