(function () {
  const specs = JSON.parse(document.getElementById("figures").textContent);
  const style = getComputedStyle(document.documentElement);
  const themed = (value, key) => {
    if (Array.isArray(value)) return value.map((part) => themed(part, key));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, part]) => [k, themed(part, k)]));
    return (key.endsWith("color") || key === "colorscale") && String(value).startsWith("--") ? style.getPropertyValue(value).trim() : value;
  };
  const draw = () => {
    for (const [name, spec] of Object.entries(specs)) {
      const place = document.getElementById("plot-" + name);
      if (place) Plotly.react(place, themed(spec.data, ""), themed(spec.layout, ""), { displayModeBar: false, responsive: true });
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
