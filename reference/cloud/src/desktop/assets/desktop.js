// Uploads with progress, by choice or by drop. Without this script the form does the same, in one go.
"use strict";

for (const form of document.querySelectorAll("form[data-upload]")) {
  const input = form.querySelector("input[type=file]");
  const list = form.querySelector(".progress");
  const waiting = [];
  let busy = false;
  let failed = false;

  form.classList.add("scripted");
  input.addEventListener("change", () => { add(input.files); });
  form.addEventListener("submit", (event) => { event.preventDefault(); add(input.files); });

  // A drop anywhere on the page is meant for here: otherwise the browser would leave the page and open the file.
  let depth = 0;
  const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  const over = (on) => form.classList.toggle("over", on);
  addEventListener("dragenter", (event) => { if (carriesFiles(event)) { depth += 1; over(true); } });
  addEventListener("dragleave", (event) => { if (carriesFiles(event)) { depth -= 1; over(depth > 0); } });
  addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const directories = items.filter((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()?.isDirectory);
    for (const item of directories) say(line(item.webkitGetAsEntry().name), "directories cannot be dropped here");
    add(items.filter((item) => !directories.includes(item)).map((item) => item.getAsFile()));
  });
  addEventListener("beforeunload", (event) => { if (busy) event.preventDefault(); });

  function add(files) {
    for (const file of files) {
      const row = line(file.name);
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.value = 0;
      bar.setAttribute("aria-label", file.name);
      row.append(bar);
      waiting.push({ file, row, bar });
    }
    if (!busy) next();
  }

  // One after the other: each is written before the next is looked at.
  function next() {
    const job = waiting.shift();
    busy = job !== undefined;
    if (job) return send(job);
    input.value = "";
    if (!failed) location.reload();
  }

  function send({ file, row, bar }) {
    const data = new FormData();
    for (const name of ["token", "path"]) data.append(name, form.elements[name].value);
    if (form.elements.replace.checked) data.append("replace", "yes");
    data.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    });
    request.addEventListener("loadend", () => {
      bar.remove();
      if (request.status === 204) row.append("done");
      else say(row, request.responseText || "the connection was lost");
      next();
    });
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/plain");
    request.send(data);
  }

  function line(name) {
    const row = document.createElement("li");
    const label = document.createElement("span");
    label.textContent = name;
    row.append(label);
    list.append(row);
    return row;
  }

  function say(row, sentence) {
    failed = true;
    row.classList.add("wrong");
    row.append(sentence);
  }
}
