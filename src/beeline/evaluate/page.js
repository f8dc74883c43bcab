(() => {
  const root = document.documentElement;
  const dark = () => (root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const button = document.createElement("button");
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.className = "theme";
  button.title = "Switch between light and dark";
  button.onclick = () => { root.style.colorScheme = dark() ? "light" : "dark"; name(); };
  name();
  document.querySelector(".brand").append(button);
  for (const chart of document.querySelectorAll(".chart")) {
    const output = chart.querySelector("output");
    for (const part of chart.querySelectorAll(".hit, .bar, .violin")) {
      const text = part.querySelector("title").textContent;
      part.addEventListener("pointerenter", () => { output.textContent = text; });
      part.addEventListener("pointerleave", () => { output.textContent = ""; });
    }
  }
})();
