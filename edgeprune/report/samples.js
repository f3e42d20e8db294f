(function () {
  const samples = JSON.parse(document.getElementById("samples").textContent);
  const chosen = document.getElementById("chosen");
  if (!chosen || !samples.length) return;
  const plots = ["geometry", "margins"].map((name) => document.getElementById("plot-" + name)).filter(Boolean);
  const cell = (text, kind) => Object.assign(document.createElement("td"), { textContent: text, className: kind });
  const show = (index) => {
    const sample = samples[index];
    chosen.value = index + 1;
    document.getElementById("picture").src = sample.picture;
    document.getElementById("picture").alt = "Image " + (index + 1) + ", " + sample.name;
    document.getElementById("class").textContent = sample.name;
    document.getElementById("answers").replaceChildren(
      ...Object.entries(sample.answers).map(([name, values]) => {
        const row = document.createElement("tr");
        const head = Object.assign(document.createElement("th"), { textContent: name, scope: "row" });
        const answer = cell(values[0], values[0] === sample.name ? "met" : "not-met");
        row.append(head, answer, ...values.slice(1).map((value) => cell(value, "n")));
        return row;
      }),
    );
  };
  const mark = (index) => {
    for (const plot of plots) Plotly.restyle(plot, { selectedpoints: [[index]] });
  };
  const choose = (index) => {
    const bounded = Math.min(samples.length, Math.max(1, index || 1)) - 1;
    show(bounded);
    mark(bounded);
  };
  for (const plot of plots) {
    plot.on("plotly_hover", (event) => show(event.points[0].customdata));
    plot.on("plotly_click", (event) => choose(event.points[0].customdata + 1));
  }
  chosen.addEventListener("change", () => choose(Number(chosen.value)));
  document.getElementById("previous").addEventListener("click", () => choose(Number(chosen.value) - 1));
  document.getElementById("next").addEventListener("click", () => choose(Number(chosen.value) + 1));
  for (const button of document.querySelectorAll("[data-sample]")) {
    button.addEventListener("click", () => {
      choose(Number(button.dataset.sample) + 1);
      document.querySelector(".sample").scrollIntoView({ block: "nearest" });
    });
  }
  show(0);
})();
